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

  // Parts marked `data-live` with an id are fetched again when a block was read, or taken back.
  if (!document.querySelector("[data-live]")) return;
  let shown = Number(document.body.dataset.block), stale = false, busy = false;
  const refresh = async () => {
    if (!stale || busy || document.hidden) return;
    [stale, busy] = [false, true];
    try {
      const answer = await fetch(location.href);
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const old of document.querySelectorAll("[data-live]")) {
          const fresh = page.getElementById(old.id);
          if (fresh && !old.contains(document.activeElement)) old.replaceWith(fresh);
        }
        shown = Number(page.body.dataset.block);
        document.dispatchEvent(new Event("live"));
      }
    } catch {} // The next block tries again.
    setTimeout(() => { busy = false; refresh(); }, 1000);
  };
  document.addEventListener("visibilitychange", refresh);
  const listen = () => {
    const events = new EventSource("/live");
    let first = true; // It tells how far the index is now, which the page may know.
    events.addEventListener("open", () => { first = true; });
    events.addEventListener("block", (event) => {
      stale ||= !first || JSON.parse(event.data).block !== shown;
      first = false;
      refresh();
    });
    // The browser tries again by itself where the connection broke, and not where it was refused.
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    });
  };
  listen();
})();
