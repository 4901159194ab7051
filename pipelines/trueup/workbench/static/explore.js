// Runs the ES module of the wheel mosaic-widget without Jupyter: a model of four functions, whose messages go to /data/query.
import widget from "/modules/mosaic.js";

export function mount(element, spec, onPredicate) {
  const values = { spec, params: {} };
  const listeners = {};
  const emit = (event, ...args) => (listeners[event] || []).forEach((listener) => listener(...args));
  const model = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; },
    save_changes: () => onPredicate(Object.values(values.params).map((param) => param.predicate).filter(Boolean).join(" AND ")),
    on: (event, listener) => (listeners[event] ||= []).push(listener),
    send: async ({ type, sql, uuid }) => {
      try {
        const answer = await fetch("/data/query", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ type, sql }) });
        if (!answer.ok) return emit("msg:custom", { uuid, error: (await answer.json().catch(() => ({}))).error || `the query failed (${answer.status})` }, []);
        const buffer = type === "arrow" ? await answer.arrayBuffer() : new ArrayBuffer(0);
        emit("msg:custom", { type, uuid }, [new DataView(buffer)]);
      } catch (error) {
        emit("msg:custom", { uuid, error: String(error) }, []);
      }
    },
  };
  // The marks of a chart carry names, which only elements with a role may have.
  const name = () => element.querySelectorAll("svg [aria-label]:not([role])").forEach((mark) => mark.setAttribute("role", "group"));
  new MutationObserver(name).observe(element, { childList: true, subtree: true });
  widget.initialize({ model });
  values.preagg_schema = "main";
  return widget.render({ model, el: element });
}
