// Before anything is drawn: the theme that the visitor chose here, if any. Without it the system's holds.
(() => {
  document.documentElement.classList.add("js");
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {} // A browser that keeps nothing has the system's theme.
})();
