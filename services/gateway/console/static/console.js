// What the pages do by themselves: keys, theme, counting down, keeping still, the plot.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const signedIn = async () => (await (await fetch("/console/session")).json()).signed_in;

  // --- Theme
  const darkBySystem = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (darkBySystem.matches ? "dark" : "light")) === "dark";
  const toggleTheme = () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
    document.dispatchEvent(new Event("theme"));
  };
  darkBySystem.addEventListener("change", () => document.dispatchEvent(new Event("theme")));
  byId("theme")?.addEventListener("click", toggleTheme);

  // --- Keys
  const keys = byId("keys");
  const showKeys = () => keys && (keys.open ? keys.close() : keys.showModal());
  byId("help")?.addEventListener("click", showKeys);
  let wentAt = 0;
  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input, select, textarea");
    if (event.key === "Escape" && inField) inField.blur();
    if (inField || event.ctrlKey || event.metaKey || event.altKey) return;
    const afterG = Date.now() - wentAt < 1500;
    wentAt = 0;
    if (afterG) {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); return; }
    }
    switch (event.key) {
      case "g": wentAt = Date.now(); break;
      case "/": event.preventDefault(); byId("search")?.focus(); break;
      case "?": event.preventDefault(); showKeys(); break;
      case "t": toggleTheme(); break;
      case ".": setStill(!still); break;
    }
  });

  // --- Times that are left
  const left = (ms) => {
    const over = ms < 0;
    const s = Math.floor(Math.abs(ms) / 1000);
    const parts = s >= 86400 ? [Math.floor(s / 86400) + " d", Math.floor((s % 86400) / 3600) + " h"]
      : s >= 3600 ? [Math.floor(s / 3600) + " h", Math.floor((s % 3600) / 60) + " min"]
      : s >= 60 ? [Math.floor(s / 60) + " min", (s % 60) + " s"] : [s + " s"];
    return (over ? "over since " : "") + parts.join(" ");
  };
  const countDown = () => {
    for (const each of document.querySelectorAll("time.left")) {
      const ms = Number(each.dataset.until) - Date.now();
      const text = left(ms);
      if (each.textContent !== text) each.textContent = text;
      each.classList.toggle("over", ms < 0);
      each.classList.toggle("soon", ms >= 0 && ms < 300000);
    }
  };
  countDown();
  setInterval(countDown, 1000);
  document.addEventListener("htmx:afterSwap", countDown);

  // --- Keeping up to date, and keeping still: on demand, and where somebody reads or points
  const live = byId("live");
  let still = false;
  let connected = false;
  const waiting = new Map();
  const say = () => {
    if (!live || !document.querySelector("[sse-connect]")) return;
    live.textContent = still ? "held still" : connected ? "live" : "not connected";
    live.dataset.state = still ? "still" : connected ? "on" : "off";
  };
  const setStill = (wanted) => { still = wanted; say(); if (!still) release(); };
  const isRead = (target) => {
    // Not every browser gives the focus to what is clicked; pressed is pressed.
    if (still || target.contains(document.activeElement) || target.matches(":active")) return true;
    const selection = getSelection();
    return !selection.isCollapsed && target.contains(selection.anchorNode);
  };
  const release = () => {
    for (const [target, html] of waiting) {
      if (isRead(target)) continue;
      waiting.delete(target);
      htmx.swap(target, html, { swapStyle: "innerHTML" });
    }
  };
  document.addEventListener("focusout", () => setTimeout(release, 0));
  document.addEventListener("selectionchange", release);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(release, 0));
  document.addEventListener("htmx:sseOpen", () => { connected = true; say(); });
  document.addEventListener("htmx:sseError", () => {
    connected = false;
    say();
    signedIn().then((is) => { if (!is) location.reload(); }, () => {});
  });
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const target = event.target;
    if (target.id === "points") {
      event.preventDefault();
      document.dispatchEvent(new CustomEvent("points", { detail: JSON.parse(event.detail.data) }));
    } else if (isRead(target)) {
      event.preventDefault();
      waiting.set(target, event.detail.data);
    } else {
      waiting.delete(target);
    }
  });
  // A browser has six connections to a server for all its tabs: one that nobody sees lets go of its own.
  class Stream {
    constructor(url) {
      this.url = url;
      this.listeners = [];
      this.open();
      document.addEventListener("visibilitychange", () => {
        clearTimeout(this.letGo);
        if (document.hidden) this.letGo = setTimeout(() => this.source.close(), 10000);
        else if (!this.ended && this.readyState === EventSource.CLOSED) this.open();
      });
    }
    open() {
      this.source = new EventSource(this.url);
      this.source.onopen = (event) => this.onopen?.(event);
      this.source.onerror = (event) => this.onerror?.(event);
      for (const each of this.listeners) this.source.addEventListener(...each);
    }
    get readyState() { return this.source.readyState; }
    addEventListener(...each) { this.listeners.push(each); this.source.addEventListener(...each); }
    removeEventListener(name, listener) {
      this.listeners = this.listeners.filter((each) => each[1] !== listener);
      this.source.removeEventListener(name, listener);
    }
    close() { this.ended = true; this.source.close(); }
  }
  if (window.htmx) htmx.createEventSource = (url) => new Stream(url);

  // What came of an action is read next, and its panel may move on.
  document.addEventListener("htmx:afterRequest", () => byId("said")?.focus());
  say();

  // --- Signing in: a link's fragment fills the form; whoever is in goes on
  const form = document.querySelector("form.sign-in");
  if (form) {
    const given = new URLSearchParams(location.hash.slice(1));
    if (given.has("code")) {
      byId("name").value = given.get("name") ?? "";
      byId("secret").value = given.get("code");
      history.replaceState(null, "", location.pathname + location.search);
      form.querySelector("button").focus();
    } else {
      // The cookie does not come with a link from elsewhere, but it comes with what this page asks.
      signedIn().then((is) => { if (is) location.replace(form.dataset.next); }, () => {});
    }
  }

  // --- The plot
  const plot = byId("plot");
  if (!plot) return;
  const WINDOW_S = 600;
  const SERIES = [["Available", "--available"], ["Held", "--held"], ["Sold", "--sold"]];
  const chooser = byId("plot-pool");
  let points = [];
  let charts = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const column = (index) => points.map(([, pools]) => pools[chooser.value]?.[index] ?? null);
  const times = () => points.map(([at]) => at);
  const listPools = () => {
    const rows = [...document.querySelectorAll("#body-stock tr[data-pool]")];
    if (chooser.options.length === rows.length) return;
    const before = chooser.value;
    chooser.replaceChildren(...rows.map((row) => new Option(row.dataset.poolName, row.dataset.pool)));
    const moved = () => {
      const [first, last] = [points[0]?.[1] ?? {}, points.at(-1)?.[1] ?? {}];
      return rows.map((row) => row.dataset.pool).find((pool) => String(first[pool]) !== String(last[pool]));
    };
    chooser.value = before || moved() || rows[0]?.dataset.pool || "";
  };
  const axis = (more) => ({ stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more });
  const draw = () => {
    for (const chart of charts) chart.destroy();
    // All boxes first: a box that is alone is as wide as all three.
    const boxes = SERIES.map(([label]) => {
      const box = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.append(label + " ", document.createElement("b"));
      box.append(caption);
      return box;
    });
    plot.replaceChildren(...boxes);
    charts = SERIES.map(([label, name], index) => {
      const box = boxes[index];
      const current = box.querySelector("b");
      const chart = new uPlot({
        width: box.clientWidth || 300,
        height: 150,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "stock" } },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Asia/Hong_Kong"),
        scales: {
          x: { time: true, range: () => { const now = Math.max(Date.now() / 1000, points.at(-1)?.[0] ?? 0); return [now - WINDOW_S, now]; } },
          y: { range: (_, low, high) => low === null ? [0, 1] : high - low < 4 ? [Math.max(0, low - 2), high + 2] : [low, high + (high - low) * 0.1] },
        },
        axes: [
          axis({ values: (_, at) => at.map((each) => new Date(each * 1000).toLocaleTimeString("en-GB", { timeZone: "Asia/Hong_Kong", hour: "2-digit", minute: "2-digit" })) }),
          axis({ size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000, 1000000] }),
        ],
        series: [{}, { label, stroke: colour(name), width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
        hooks: { setCursor: [(self) => { const at = self.cursor.idx ?? points.length - 1; current.textContent = self.data[1][at]?.toLocaleString("en") ?? ""; }] },
      }, [times(), column(index)], box);
      current.textContent = column(index).at(-1)?.toLocaleString("en") ?? "";
      return chart;
    });
  };
  const redraw = () => charts.forEach((chart, index) => {
    chart.setData([times(), column(index)]);
    const current = chart.root.parentElement.querySelector("b");
    if (chart.cursor.idx == null) current.textContent = column(index).at(-1)?.toLocaleString("en") ?? "";
  });
  const begin = async () => {
    const answer = await fetch("/console/stock.json");
    if (answer.ok) points = await answer.json();
    listPools();
    if (points.length) draw();
  };
  document.addEventListener("points", (event) => {
    const last = points.at(-1)?.[0] ?? 0;
    points.push(...event.detail.filter(([at]) => at > last));
    points = points.filter(([at]) => at >= (points.at(-1)?.[0] ?? 0) - WINDOW_S);
    listPools();
    if (charts.length) redraw(); else draw();
  });
  setInterval(() => { if (charts.length && !document.hidden) redraw(); }, 5000);
  chooser.addEventListener("change", draw);
  document.addEventListener("theme", draw);
  addEventListener("resize", () => charts.forEach((chart) => chart.setSize({ width: chart.root.parentElement.clientWidth, height: 150 })));
  begin();
})();
