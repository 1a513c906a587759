"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const byHand = matchMedia("(prefers-reduced-motion: reduce), (hover: none)");
  const list = byId("shots");
  const dialog = byId("job");

  // Text is only ever text: nothing here reads a string as markup.
  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  }

  function drawn(kind, ...paths) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", kind);
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    for (const d of paths) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  }

  const words = (state) => state.replaceAll("_", " ");
  const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const folded = (text) => text.normalize("NFKC").toLowerCase();
  const instant = (at) => new Date(at * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, "");
  const size = (text) => (text || "").replace("x", "×");

  function duration(seconds) {
    if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
    const whole = Math.round(seconds);
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = parts.findIndex(([unit]) => whole >= unit);
    return parts.slice(first, first + 2)
      .map(([unit, name], number) => [Math.floor((number ? whole % parts[first][0] : whole) / unit), name])
      .filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(" ");
  }

  function money(job) {
    const unit = data.currency ? ` ${data.currency}` : "";
    const sunk = job.sunk ? ` + ${job.sunk.toFixed(2)}${unit} before` : "";
    const price = job.price === undefined ? "price unknown" : `${job.price.toFixed(2)}${unit}`;
    return (job.paid === "perhaps" ? `perhaps ${price}` : price) + sunk;
  }

  // ---- what there is

  const jobs = data.jobs;
  const shots = [];
  const byKey = new Map();
  {
    const byName = new Map();
    jobs.forEach((job, number) => {
      job.number = number + 1;
      job.tags = job.tags || [];
      job.hay = folded([job.key, job.prompt, job.video_id, ...job.tags].filter(Boolean).join("\n"));
      byKey.set(job.key, job);
      let shot = byName.get(job.shot);
      if (!shot) {
        byName.set(job.shot, (shot = { name: job.shot, takes: [], number: shots.length }));
        shots.push(shot);
      }
      shot.takes.push(job);
      job.of = shot;
    });
    for (const shot of shots) {
      shot.takes.sort((a, b) => Boolean(a.orphaned) - Boolean(b.orphaned) || a.take - b.take || a.number - b.number);
    }
    const tall = jobs.filter((job) => { const [w, h] = (job.size || "").split("x"); return Number(h) > Number(w); });
    list.classList.toggle("tall", tall.length > jobs.length / 2);
  }

  // ---- one frame

  function leader(job) {
    const why = job.error && job.state !== "done" ? job.error.message : job.state === "done" ? job.path ? "It is not where the ledger has it" : "It was deleted" : null;
    return el("span", { class: "leader" },
      el("span", { class: `badge s-${job.state}` }, job.state !== "done" ? words(job.state) : job.path ? "file missing" : "file deleted"),
      why && el("span", { class: "why", dir: "auto" }, why));
  }

  function named(job) {
    return [job.shot, `take ${job.take}`, words(job.state), job.picked && "picked", job.orphaned && "not in the manifest"]
      .filter(Boolean).join(", ");
  }

  function frameOf(job, film, label) {
    const frame = el("a", { class: "frame", href: `#job=${encodeURIComponent(job.key)}`, "aria-label": label });
    frame.job = job;
    frame.film = film;
    if (film.poster) frame.append((frame.picture = el("img", { alt: "", decoding: "async" })));
    else if (!film.url) frame.append(leader(job));
    return frame;
  }

  function playButton(frame, label) {
    const button = el("button", { type: "button", class: "play", "aria-label": `Play ${label}`, "aria-pressed": "false" });
    button.frame = frame;
    frame.button = button;
    return button;
  }

  function takeNode(job) {
    const label = named(job);
    const frame = (job.frame = frameOf(job, job, label));
    const number = shots.length === jobs.length ? `${job.number}` : `${job.of.number + 1}–${job.take}`;
    return (job.node = el("li", { class: `take${job.picked ? " picked" : ""}${job.orphaned ? " orphaned" : ""}` },
      el("div", { class: "cell" }, frame, job.url && byHand.matches && playButton(frame, `${job.shot}, take ${job.take}`),
        job.picked && drawn("pencil", "M14 8 C38 -1 78 1 91 11 C102 28 101 74 90 90 C70 102 24 101 9 90 C-3 70 -2 26 12 9 C26 1 44 1 58 4")),
      el("p", { class: "edge" }, el("span", {}, number),
        el("span", {}, job.orphaned ? "not in manifest" : job.warnings ? "⚠ " + plural(job.warnings.length, "warning")
          : job.state === "done" ? size(job.size) : words(job.state)))));
  }

  function rejectedNode(job, film) {
    const label = `${job.shot}, take ${job.take}, an earlier one that was rejected`;
    const frame = frameOf(job, film, label);
    if (!film.url) frame.replaceChildren(el("span", { class: "leader" }, el("span", { class: "badge" }, "file gone")));
    const node = el("li", { class: "take rejected" },
      el("div", { class: "cell" }, frame, film.url && byHand.matches && playButton(frame, label),
        drawn("pencil", "M8 8 C36 38 62 60 93 94", "M93 7 C66 34 36 66 7 93")),
      el("p", { class: "edge" }, el("span", {}, `${job.of.number + 1}–${job.take}`), el("span", {}, "rejected")));
    return node;
  }

  function shotNode(shot) {
    const head = shot.takes[0];
    const nodes = [];
    shot.rejected = [];
    for (const job of shot.takes) {
      nodes.push(takeNode(job));
      for (const film of job.rejected || []) {
        const node = rejectedNode(job, film);
        shot.rejected.push([job, node]);
        nodes.push(node);
      }
    }
    const facts = [head.model, size(head.size), head.seconds && `${head.seconds} s`].filter(Boolean).join(" · ");
    const prompts = new Set(shot.takes.filter((job) => !job.orphaned).map((job) => job.prompt));
    shot.node = el("li", { class: "shot" },
      el("ul", { class: "strip", role: "list" }, ...nodes),
      el("div", { class: "slip" },
        el("h3", {}, el("bdi", {}, shot.name)),
        head.prompt && el("p", { class: "prompt", dir: "auto" }, head.prompt),
        prompts.size > 1 && el("p", { class: "facts-line" }, `${prompts.size} prompts`),
        el("p", { class: "facts-line" }, facts, ...head.tags.map((tag) => el("bdi", { class: "tag" }, tag)))));
    shot.node.shot = shot;
    return shot.node;
  }

  function framesIn(node) {
    return node.querySelectorAll(".frame");
  }

  // ---- what is on screen has its picture, and nothing else has

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      for (const frame of framesIn(target)) (isIntersecting ? develop : leave)(frame);
    }
  }, { rootMargin: "500px 0px" });

  function develop(frame) {
    if (frame.picture && !frame.picture.src) frame.picture.src = frame.film.poster;
    if (!frame.film.poster && frame.film.url && !frame.preview) {
      frame.preview = video(frame.film.url, "metadata");
      frame.append(frame.preview);
    }
  }

  function leave(frame) {
    if (playing === frame) stop();
    if (frame.preview) {
      drop(frame.preview);
      frame.preview = null;
    }
  }

  function video(url, preload) {
    const made = el("video", { src: url, preload, loop: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
    made.muted = true;
    made.addEventListener("error", () => made.parentElement && made.parentElement.classList.add("unplayable"));
    return made;
  }

  function drop(element) {
    element.pause();
    element.removeAttribute("src");
    element.load();
    element.remove();
  }

  // ---- one of them plays

  let playing = null;
  let waiting = 0;

  function play(frame) {
    if (playing === frame || !frame.film.url) return;
    stop();
    playing = frame;
    const moving = frame.preview || frame.appendChild(video(frame.film.url, "auto"));
    frame.moving = moving;
    frame.classList.add("playing");
    if (frame.button) frame.button.setAttribute("aria-pressed", "true");
    moving.play().catch(() => {});
  }

  function stop() {
    clearTimeout(waiting);
    const frame = playing;
    if (!frame) return;
    playing = null;
    frame.classList.remove("playing");
    if (frame.button) frame.button.setAttribute("aria-pressed", "false");
    if (frame.moving === frame.preview) frame.moving.pause();
    else drop(frame.moving);
    frame.moving = null;
  }

  list.addEventListener("pointerover", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame || event.pointerType !== "mouse" || still.matches) return;
    clearTimeout(waiting);
    waiting = setTimeout(play, 90, frame);
  });
  list.addEventListener("pointerout", (event) => {
    const frame = event.target.closest(".frame");
    if (frame && event.pointerType === "mouse" && !frame.contains(event.relatedTarget) && !frame.matches(":focus-visible")) {
      clearTimeout(waiting);
      if (playing === frame && !byHand.matches) stop();
    }
  });
  list.addEventListener("focusin", (event) => {
    if (event.target.matches(".frame:focus-visible") && !still.matches) play(event.target);
  });
  list.addEventListener("focusout", (event) => {
    if (event.target === playing && !byHand.matches) stop();
  });
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  list.addEventListener("click", (event) => {
    const button = event.target.closest(".play");
    const frame = event.target.closest(".frame");
    if (button) {
      if (playing === button.frame) stop();
      else play(button.frame);
    } else if (frame && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
      event.preventDefault();
      go({ job: frame.job.key }, true);
    }
  });

  // ---- what is asked for: it stands in the address, so that it can be shared

  const NONE = { q: "", state: "", tag: "", size: "", picked: "", sort: "", frames: "", view: "sheet", job: "" };
  let asked = { ...NONE };

  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const known = Object.keys(NONE).map((name) => [name, found.get(name) || NONE[name]]);
    return Object.fromEntries(known);
  }

  function go(changes, asStep = false) {
    const next = { ...asked, ...changes };
    const kept = Object.keys(NONE).filter((name) => next[name] !== NONE[name]).map((name) => [name, next[name]]);
    const hash = `#${new URLSearchParams(kept)}`;
    if (asStep) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
    show(next);
  }

  function fits(job) {
    const { states, terms } = asked;
    return (!states.length || states.includes(job.state))
      && (!asked.tag || job.tags.includes(asked.tag))
      && (!asked.size || job.size === asked.size)
      && (!asked.picked || Boolean(job.picked))
      && terms.every((term) => job.hay.includes(term));
  }

  const SORTS = {
    "": ["In order", (a, b) => a.number - b.number],
    name: ["By name", (a, b) => a.name.localeCompare(b.name, "en", { numeric: true })],
    newest: ["Newest first", (a, b) => most(b, "made") - most(a, "made")],
    slowest: ["Slowest render first", (a, b) => most(b, "rendered") - most(a, "rendered")],
    dearest: ["Dearest first", (a, b) => most(b, "price") - most(a, "price")],
    takes: ["Most takes first", (a, b) => b.takes.length - a.takes.length],
  };
  const most = (shot, name) => Math.max(...shot.takes.map((job) => (job[name] === undefined ? -1 : job[name])));

  // Frames that are not asked for leave the page: hiding ten thousand neighbours takes Chromium a minute.
  let presented = [];

  function present(shown) {
    if (shown.length === presented.length && shown.every((shot, number) => shot === presented[number])) return;
    presented = shown;
    const together = document.createDocumentFragment();
    for (const shot of shown) together.append(shot.node);
    list.replaceChildren(together);
  }

  let visible = jobs;
  let sortedBy = "";
  let inOrder = shots;

  function show(next) {
    const before = asked;
    asked = next;
    asked.states = next.state ? next.state.split(",") : [];
    asked.terms = folded(next.q).split(/\s+/).filter(Boolean);
    if (!(next.sort in SORTS)) asked.sort = "";
    if (asked.sort !== sortedBy) {
      sortedBy = asked.sort;
      inOrder = [...shots].sort((a, b) => SORTS[sortedBy][1](a, b) || a.number - b.number);
    }
    visible = [];
    const shown = [];
    for (const shot of inOrder) {
      let any = 0;
      for (const job of shot.takes) {
        const fit = fits(job);
        if (job.node.hidden === fit) job.node.hidden = !fit;
        if (fit) { any += 1; visible.push(job); }
      }
      for (const [job, node] of shot.rejected) {
        node.hidden = job.node.hidden;
        if (!node.hidden) any += 1;
      }
      shot.wide = any;
      if (any) shown.push(shot);
    }
    present(shown);
    const all = visible.length === jobs.length;
    const takes = all ? plural(jobs.length, "take") : `${visible.length.toLocaleString("en")} of ${plural(jobs.length, "take")}`;
    const said = shots.length === jobs.length ? takes.replace("take", "frame") : `${takes}, ${plural(shown.length, "shot")}`;
    if (byId("count").textContent !== said) byId("count").textContent = said;
    byId("none").hidden = visible.length > 0 || !jobs.length;
    arrange();
    controls();
    look(asked.view);
    if (asked.job !== before.job || dialog.open !== Boolean(asked.job)) details(asked.job);
  }

  function look(view) {
    const run = view === "run";
    byId("sheet").hidden = run;
    byId("run").hidden = !run;
    byId("tools").hidden = run;
    if (run) stop();
    for (const link of document.querySelectorAll(".views a")) {
      if (link.dataset.view === (run ? "run" : "sheet")) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  // ---- as many columns as leave the fewest holes

  const LEAST = { s: 132, "": 208, l: 330 };
  let width = 0;

  function holes(columns) {
    let used = 0;
    let rows = 1;
    let left = columns;
    for (const shot of inOrder) {
      if (!shot.wide) continue;
      const span = Math.min(shot.wide, columns);
      if (span > left) { rows += 1; left = columns; }
      left -= span;
      used += span;
    }
    return 1 - used / (rows * columns);
  }

  function arrange() {
    width = list.clientWidth || width;
    if (!width) return;
    const gap = 14;
    const least = width < 520 ? { s: 100, "": 150, l: 300 }[asked.frames] || 150 : LEAST[asked.frames] || LEAST[""];
    const fit = Math.max(1, Math.floor((width + gap) / (least + gap)));
    let best = fit;
    let cost = Infinity;
    for (let columns = fit; columns >= Math.max(1, Math.ceil(fit * 0.7)); columns -= 1) {
      const here = holes(columns) + (fit - columns) * 0.03;
      if (here < cost - 1e-9) { cost = here; best = columns; }
    }
    place(best);
  }

  function place(columns) {
    list.style.setProperty("--columns", columns);
    // What a row has left goes to its last shot: the words stand beside the frames.
    let left = columns;
    let last = null;
    for (const shot of inOrder) {
      if (!shot.wide) continue;
      shot.span = Math.min(shot.wide, columns);
      if (shot.span > left) {
        last.room += left;
        left = columns;
      }
      left -= shot.span;
      shot.room = shot.span;
      last = shot;
    }
    for (const shot of inOrder) {
      const placed = `${shot.span} ${shot.room}`;
      if (!shot.wide || shot.placed === placed) continue;
      shot.placed = placed;
      shot.node.style.setProperty("--span", shot.span);
      shot.node.style.setProperty("--room", shot.room);
      shot.node.classList.toggle("beside", shot.room > shot.span);
    }
  }

  let printing = false;
  new ResizeObserver(() => {
    if (!printing && list.clientWidth && list.clientWidth !== width) arrange();
  }).observe(list);

  // ---- the controls

  function counted(values) {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    return counts;
  }

  const ORDER = ["done", "verified", "completed", "submitted", "submitting", "planned", "in_doubt", "held", "lost", "stuck", "expired", "failed"];

  function select(name, label, options) {
    const made = el("select", { id: `by-${name}` }, ...options.map(([value, text]) => el("option", { value }, text)));
    made.addEventListener("change", () => go({ [name]: made.value }));
    byId("selects").append(el("span", { class: "select" }, el("label", { class: "unseen", for: made.id }, label), made));
  }

  function choice(name, value, ...text) {
    const button = el("button", { type: "button", class: "chip", "aria-pressed": "false" }, ...text);
    button.choice = [name, value];
    return button;
  }

  function equip() {
    const states = counted(jobs.map((job) => job.state));
    for (const state of ORDER) {
      if (states.has(state)) {
        byId("states").append(choice("state", state, el("span", { class: `dot s-${state}` }), words(state),
          el("span", { class: "number" }, states.get(state).toLocaleString("en"))));
      }
    }
    const picked = jobs.filter((job) => job.picked).length;
    if (picked) byId("states").append(choice("picked", "1", el("span", { class: "ring" }), "picked", el("span", { class: "number" }, picked.toLocaleString("en"))));
    const tags = counted(jobs.flatMap((job) => job.tags));
    const sizes = counted(jobs.map((job) => job.size).filter(Boolean));
    const listed = (counts) => [...counts].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    if (tags.size) select("tag", "Tag", [["", "All tags"], ...listed(tags).map(([tag, number]) => [tag, `${tag} (${number})`])]);
    if (sizes.size > 1) select("size", "Size", [["", "All sizes"], ...listed(sizes).map(([one, number]) => [one, `${size(one)} (${number})`])]);
    select("sort", "Order", Object.entries(SORTS).map(([value, [text]]) => [value, text]));
    select("frames", "Size of the frames", [["s", "Small frames"], ["", "Medium frames"], ["l", "Large frames"]]);
    byId("tools").addEventListener("click", (event) => {
      const button = event.target.closest(".chip");
      if (!button) return;
      const [name, value] = button.choice;
      if (name === "picked") go({ picked: asked.picked ? "" : "1" });
      else {
        const next = asked.states.includes(value) ? asked.states.filter((one) => one !== value) : [...asked.states, value];
        go({ state: next.join(",") });
      }
    });
    byId("tools").addEventListener("submit", (event) => event.preventDefault());
    let typing = 0;
    byId("q").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => go({ q: byId("q").value.trim() }), jobs.length > 2000 ? 150 : 30);
    });
    byId("clear").addEventListener("click", () => {
      go({ ...NONE, sort: asked.sort, frames: asked.frames });
      byId("q").focus();
    });
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault();
      byId("sheet").focus();
    });
    for (const link of document.querySelectorAll(".views a")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        go({ view: link.dataset.view });
      });
    }
  }

  function controls() {
    if (document.activeElement !== byId("q")) byId("q").value = asked.q;
    for (const button of document.querySelectorAll(".chip")) {
      const [name, value] = button.choice;
      button.setAttribute("aria-pressed", name === "state" ? asked.states.includes(value) : Boolean(asked.picked));
    }
    for (const made of document.querySelectorAll(".select select")) made.value = asked[made.id.slice(3)];
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (dialog.open) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && !target.closest("video, pre, .scroll")) { turn(step); event.preventDefault(); }
      return;
    }
    if (event.key === "/" && !target.closest("input, select, textarea")) {
      byId("q").focus();
      event.preventDefault();
    }
    if (target.matches(".frame")) {
      const frames = [...framesIn(list)].filter((frame) => !frame.closest("[hidden]"));
      const here = frames.indexOf(target);
      const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: frames.length - 1 }[event.key];
      if (to !== undefined && frames[to]) { frames[to].focus(); event.preventDefault(); }
    }
  });

  // ---- one job, with all that is known of it

  function turn(step) {
    const here = visible.findIndex((job) => job.key === asked.job);
    const to = visible[here + step];
    if (to) go({ job: to.key });
  }

  function pair(name, ...value) {
    return value[0] === undefined || value[0] === null || value[0] === "" ? null
      : el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
  }

  function block(title, ...children) {
    return el("section", {}, el("h3", {}, title), ...children);
  }

  function json(label, value) {
    return el("pre", { tabindex: "0", role: "region", "aria-label": label, dir: "auto" }, JSON.stringify(value, null, 2));
  }

  function screen(job) {
    if (!job.url) return el("div", { class: "screen" }, leader(job));
    const film = el("video", { src: job.url, controls: true, loop: true, playsinline: true, preload: "metadata", poster: job.poster, "aria-label": `Video of ${job.shot}, take ${job.take}` });
    if (!still.matches) film.play().catch(() => {});
    return el("div", { class: "screen" }, film);
  }

  function coded(text) {
    return text.split("`").map((part, number) => (number % 2 ? el("code", {}, part) : part));
  }

  function troubles(job) {
    const error = job.error;
    const facts = error && [error.code && `code ${error.code}`, error.param && `field ${error.param}`, error.http_status && `HTTP ${error.http_status}`, error.request_id && `request id ${error.request_id}`].filter(Boolean).join(" · ");
    return [
      error && el("div", { class: "trouble" }, el("p", { class: "what" }, error.kind), el("p", { dir: "auto" }, error.message || ""),
        facts && el("p", { class: "facts-line" }, el("bdi", {}, facts)), el("p", { class: "advice" }, ...coded(error.advice))),
      job.orphaned && el("p", { class: "warning" }, "The manifest no longer asks for this. Its file stays until somebody removes it."),
      ...(job.warnings || []).map((text) => el("p", { class: "warning", dir: "auto" }, text)),
    ];
  }

  function knownOf(job) {
    return el("dl", { class: "known" },
      pair("Model", job.model), pair("Size", job.size && size(job.size)), pair("Length", job.seconds && `${job.seconds} s`),
      pair("Rendered in", job.rendered === undefined ? null : duration(job.rendered)),
      pair("Cost", job.paid ? money(job) : job.sunk ? `${job.sunk.toFixed(2)} ${data.currency} before` : null),
      pair("Tags", job.tags.length ? el("span", {}, ...job.tags.map((tag) => el("bdi", { class: "tag" }, tag))) : null),
      pair("File", job.url ? el("a", { href: job.url }, job.path) : job.path, job.bytes ? ` ${job.bytes.toLocaleString("en")} bytes` : ""),
      pair("SHA-256", job.sha256 && el("code", {}, job.sha256)),
      pair("Video id", job.video_id && el("code", {}, job.video_id)),
      pair("Server", job.base_url), pair("It says", job.status),
      pair("Attempt", job.attempt ? `${job.attempt}${job.approvals ? `, paid for again ${job.approvals}×` : ""}` : null),
      pair("Idempotency key", job.idempotency_key && el("code", {}, job.idempotency_key)),
      pair("Expires", job.expires_at && `${instant(job.expires_at)} UTC`),
      pair("Request hash", el("code", {}, job.hash)));
  }

  function eventsOf(job) {
    let before = null;
    return el("ol", { class: "events" }, ...job.events.map(([at, kind, text]) => {
      const later = before === null ? "" : `+${duration(Math.max(0, at - before))}`;
      before = at;
      return el("li", {}, el("time", { datetime: new Date(at * 1000).toISOString() }, instant(at)), el("span", { class: "later" }, later),
        el("span", { class: "kind" }, words(kind)), el("span", { class: "text", dir: "auto" }, text));
    }));
  }

  function othersOf(job) {
    const films = job.of.takes.flatMap((take) => [[take, take, `take ${take.take}`], ...(take.rejected || []).map((film) => [take, film, `take ${take.take}, rejected`])]);
    if (films.length < 2) return null;
    return block("Takes", el("ul", { class: "others", role: "list" }, ...films.map(([take, film, label]) => {
      const rejected = take !== film;
      const inner = [film.poster ? el("img", { alt: "", src: film.poster }) : el("span", { class: "leader" }), el("span", {}, label + (take.picked && !rejected ? ", picked" : ""))];
      const here = take === job && !rejected;
      const link = el("a", { href: rejected ? film.url || "#" : `#job=${encodeURIComponent(take.key)}`, class: rejected ? "rejected" : take.picked ? "picked" : "", "aria-current": here ? "true" : null }, ...inner);
      if (!rejected) link.addEventListener("click", (event) => { event.preventDefault(); go({ job: take.key }); });
      return el("li", {}, link);
    })));
  }

  function details(key) {
    const job = byKey.get(key);
    if (!job) {
      if (dialog.open) dialog.close();
      return;
    }
    stop();
    const focused = dialog.open && dialog.contains(document.activeElement) ? document.activeElement.id : "";
    const here = visible.indexOf(job);
    const button = (id, label, text, act, disabled = false) => {
      const made = el("button", { type: "button", id, "aria-label": label, title: label, disabled }, text);
      made.addEventListener("click", act);
      return made;
    };
    dialog.replaceChildren(
      el("div", { class: "bar" },
        el("h2", { id: "job-h", tabindex: "-1" }, el("bdi", {}, job.shot), " ", el("span", { class: "of" }, `take ${job.take}`)),
        el("span", { class: `badge s-${job.state}` }, words(job.state)), job.picked && el("span", { class: "badge pick" }, "picked"),
        el("span", { class: "buttons" },
          button("previous", "Previous frame", "←", () => turn(-1), here <= 0),
          button("next", "Next frame", "→", () => turn(1), here < 0 || here === visible.length - 1),
          button("close", "Close", "✕", () => dialog.close()))),
      el("div", { class: "spread" },
        el("div", { class: "left" }, screen(job), job.prompt && el("p", { class: "whole prompt", dir: "auto" }, job.prompt), othersOf(job)),
        el("div", { class: "right" }, ...troubles(job).filter(Boolean), knownOf(job),
          job.events.length ? block("What happened", eventsOf(job)) : null,
          block("Request", json("Request", job.request)),
          job.metadata && block("Metadata", json("Metadata", job.metadata)))));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    const again = byId(focused);
    (again && !again.disabled ? again : byId("job-h")).focus();
  }

  dialog.addEventListener("close", () => {
    const job = byKey.get(asked.job);
    dialog.replaceChildren();
    if (asked.job) go({ job: "" });
    if (job && !job.node.hidden) {
      job.node.scrollIntoView({ block: "nearest" });
      job.frame.focus({ preventScroll: true, focusVisible: false });
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  // ---- begin

  function build() {
    stop();
    near.disconnect();
    shots.forEach(shotNode);
    presented = [];
    list.replaceChildren();
    sortedBy = "";
    inOrder = shots;
    for (const shot of shots) near.observe(shot.node);
    show(read());
  }

  byId("line-up").hidden = false;
  document.documentElement.classList.add("live");
  equip();
  build();
  byHand.addEventListener("change", build);
  addEventListener("hashchange", () => show(read()));
  addEventListener("popstate", () => show(read()));
  addEventListener("beforeprint", () => {
    printing = true;
    place(list.classList.contains("tall") ? 6 : 4);
    for (const frame of framesIn(list)) {
      if (frame.picture) { frame.picture.decoding = "sync"; frame.picture.src = frame.film.poster; }
    }
  });
  addEventListener("afterprint", () => {
    printing = false;
    arrange();
  });
})();
