// What makes the pages pleasanter. Each of them works without it.
(() => {
  const root = document.documentElement;

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch {}
    document.dispatchEvent(new Event("theme"));
  });

  // On a phone the pages' names are wider than it is.
  const nav = document.querySelector(".top nav"), here = nav.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;

  const search = document.getElementById("q");
  const suggestions = document.getElementById("suggestions");
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
    if (event.key === "Escape") suggestions.replaceChildren();
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest(".search")) {
      const links = [search, ...suggestions.querySelectorAll("a")];
      const next = links[links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) { event.preventDefault(); next.focus(); }
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) suggestions.replaceChildren();
  });

  // A hash is copied whole by a double click on it, though it is shown short.
  document.addEventListener("copy", (event) => {
    const node = getSelection().anchorNode;
    const hash = node && (node.nodeType === 1 ? node : node.parentElement).closest(".hash[title]");
    if (hash && hash.contains(getSelection().focusNode)) {
      event.clipboardData.setData("text/plain", hash.title);
      event.preventDefault();
    }
  });

  // A page marked `data-live` is asked for again when a block was read, or taken back, and changed where it differs.
  if (!("live" in document.body.dataset)) return;
  const show = async (page) => {
    document.title = page.title;
    for (const id of ["banners", "content", "foot"]) {
      const old = document.getElementById(id);
      await htmx.swap({ sourceElement: old, target: old, swap: "innerMorph", text: page.getElementById(id).innerHTML });
    }
    document.dispatchEvent(new Event("live"));
  };
  const sayGone = () => {
    const gone = document.createElement("p");
    [gone.className, gone.role] = ["banner", "status"];
    gone.textContent = "The chain took this back: it no longer knows what stands here.";
    document.getElementById("banners").replaceChildren(gone);
  };
  let shown = Number(document.body.dataset.block), stale = false, busy = false;
  const refresh = async () => {
    if (!stale || busy || document.hidden) return;
    [stale, busy] = [false, true];
    const began = performance.now();
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok && document.body.dataset.live === "reason") { location.reload(); return; } // It has other scripts.
      if (answer.ok) await show(page);
      else if (answer.status === 404) sayGone();
      if (page.body.dataset.block) shown = Number(page.body.dataset.block);
    } catch {} // The next block tries again.
    const took = performance.now() - began; // Who is slow is asked less often.
    setTimeout(() => { busy = false; refresh(); }, Math.max(1000, 10 * took));
  };
  let source = null;
  const listen = () => {
    if (source || document.hidden) return;
    const events = source = new EventSource("/live");
    let first = true; // It tells how far the index is now, which the page may know.
    events.addEventListener("open", () => { first = true; });
    events.addEventListener("block", (event) => {
      stale ||= !first || JSON.parse(event.data).block !== shown;
      first = false;
      refresh();
    });
    // The browser tries again by itself where the connection broke, and not where it was refused.
    events.addEventListener("error", () => {
      if (events.readyState !== EventSource.CLOSED || source !== events) return;
      source = null;
      setTimeout(listen, 5000);
    });
  };
  // A browser opens few connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; }
    listen();
    refresh();
  });
  listen();
})();
