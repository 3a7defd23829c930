// Charts one can point at, in place of the drawn ones, which stay for print. Amounts become fractions here only to
// be drawn: nothing is computed from them.
(() => {
  if (!window.uPlot) return;
  const unit = 10 ** Number(document.body.dataset.decimals);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
  const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  // By the distance of two marks: how each is written, and what is added where a year or a day begins.
  const day = 86400, none = [null, null, null];
  const dates = [
    [day * 365, "{YYYY}", null, null, null, ...none, 1],
    [day * 28, "{YYYY}-{MM}", null, null, null, ...none, 1],
    [day, "{MM}-{DD}", "\n{YYYY}", null, null, ...none, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", ...none, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", ...none, 1],
  ];
  const fetched = new Map();
  const drawn = new Map();

  const series = (source) => {
    if (!fetched.has(source)) {
      fetched.set(source, fetch(source).then((answer) => (answer.ok ? answer.json() : Promise.reject(answer))));
    }
    return fetched.get(source);
  };

  const draw = async (figure, anew) => {
    const columns = await series(figure.dataset.chart);
    const fields = figure.dataset.fields.split(" ").map(camel);
    const scale = figure.dataset.kind === "atoms" ? unit : 1;
    const data = [columns.at, ...fields.map((field) => columns[field].map((value) => Number(value) / scale))];
    if (drawn.has(figure) && !anew) { drawn.get(figure).setData(data); return; }
    const names = [...figure.querySelectorAll(".key")].map((key) => key.textContent);
    const colours = [style("--accent"), style("--warn"), style("--soft")];
    const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const stepped = fields.length > 1 ? uPlot.paths.stepped({ align: 1 }) : undefined;
    const options = {
      width: figure.clientWidth - 24,
      height: 190,
      padding: [8, 18, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      axes: [{ ...axis, space: 72, values: dates }, { ...axis, size: 52, values: (_, values) => values.map((value) => short.format(value)) }],
      series: [
        { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...fields.map((field, index) => ({
          label: names[index] || figure.querySelector("b").textContent,
          stroke: colours[index],
          fill: index ? undefined : `color-mix(in srgb, ${colours[0]} 14%, transparent)`,
          width: 1.5,
          points: { show: false },
          paths: stepped,
          value: (_, value) => (value === null ? "–" : whole.format(value)),
        })),
      ],
    };
    drawn.get(figure)?.destroy();
    drawn.set(figure, new uPlot(options, data, figure.querySelector(".plot")));
  };

  // Where one fails, the drawn chart is there.
  const all = (anew) => Promise.allSettled([...document.querySelectorAll("figure[data-chart]")].map((figure) => draw(figure, anew)));
  all(true);
  document.addEventListener("theme", () => all(true));
  document.addEventListener("live", () => { fetched.clear(); all(false); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(true));
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [figure, plot] of drawn) if (figure.isConnected) plot.setSize({ width: figure.clientWidth - 24, height: 190 });
    }, 100);
  });
})();
