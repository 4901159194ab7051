// Formats of numbers and times, the theme, and the keyboard. Everything here treats data as text.
window.trueup = (() => {
  const formats = new Map();
  const format = (key, options) => {
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat("en", options));
    return formats.get(key);
  };
  const missing = (value) => value === null || value === undefined || value === "";
  const money = (value, currency) => {
    if (missing(value)) return "";
    const small = Math.abs(Number(value)) < 1 && Number(value) !== 0;
    const digits = { minimumFractionDigits: 2, maximumFractionDigits: small ? 4 : 2 };
    try {
      return format(`${currency}${small}`, { style: "currency", currency, ...digits }).format(value);
    } catch {
      return `${format(`plain${small}`, digits).format(value)} ${currency || ""}`.trim();
    }
  };
  const number = (value) => (missing(value) ? "" : format("number", { maximumFractionDigits: 6 }).format(value));
  const share = (value) => (missing(value) ? "" : format("share", { style: "percent", maximumFractionDigits: 1 }).format(value));
  const words = (value) => (missing(value) ? "" : String(value).replaceAll("_", " "));
  const time = (value) => (missing(value) ? "" : String(value).slice(0, 16));
  const id = (value) => (missing(value) ? "" : String(value).slice(0, 12));
  const compareNumbers = (a, b) => (missing(a) ? -Infinity : Number(a)) - (missing(b) ? -Infinity : Number(b)) || 0;
  const plain = (text) => {
    const box = document.createElement("div");
    for (const line of String(text).split("\n")) box.append(Object.assign(document.createElement("div"), { textContent: line }));
    return box;
  };
  const isDark = () => document.body.classList.contains("body--dark");
  const toggleTheme = () => {
    document.cookie = `trueup_theme=${isDark() ? "light" : "dark"}; path=/; max-age=31536000; samesite=strict`;
    location.reload();
  };
  const signOut = () => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: "/sign-out" });
    document.body.append(form);
    form.submit();
  };
  const showKeys = () => {
    document.getElementById("tu-keys")?.remove();
    const box = Object.assign(document.createElement("dialog"), { id: "tu-keys" });
    const list = document.createElement("dl");
    const add = (key, text) => {
      list.append(Object.assign(document.createElement("dt"), { textContent: key }), Object.assign(document.createElement("dd"), { textContent: text }));
    };
    for (const link of document.querySelectorAll("[data-go]")) add(`g ${link.dataset.go}`, link.textContent.trim());
    add("/", "filter");
    for (const button of document.querySelectorAll("[data-key]"))
      if (button.offsetParent) add(button.dataset.key, button.getAttribute("aria-label") || button.textContent.trim());
    add("arrows, space, enter", "move in a table, select, open");
    const close = Object.assign(document.createElement("button"), { textContent: "Close" });
    close.onclick = () => box.close();
    box.append(Object.assign(document.createElement("h2"), { textContent: "Keyboard" }), list, close);
    document.body.append(box);
    box.showModal();
  };
  const label = (selector, name) => {
    const found = document.querySelector(selector);
    found ? found.setAttribute("aria-label", name) : setTimeout(() => label(selector, name), 50);
  };
  let went = 0;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable=true], .cm-editor, dialog, .q-dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "g") {
      went = Date.now();
      return;
    }
    const target =
      Date.now() - went < 1500
        ? document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)
        : event.key === "/"
          ? document.querySelector("[data-filter] input, input[data-filter]")
          : document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    went = 0;
    if (!target) return;
    event.preventDefault();
    event.key === "/" ? target.focus() : target.click();
  });
  return { money, number, share, words, time, id, compareNumbers, plain, toggleTheme, signOut, showKeys, isDark, label };
})();
