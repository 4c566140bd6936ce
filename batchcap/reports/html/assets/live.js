// A live page takes what its server sends, and shows where the run stands.

const LIVE = {
  connecting: "connecting",
  live: "live",
  lost: "connection lost, trying again",
  ended: "the run has ended",
};

function connectLive() {
  if (!about.live) return;
  setLive("connecting");
  const events = new EventSource(about.events);
  events.onopen = () => setLive("live");
  events.onerror = () => {
    if (byId("live").dataset.state !== "ended") setLive("lost");
    else events.close();
  };
  events.onmessage = (event) => {
    setLive("live"); // a further run may work on the folder
    receive(JSON.parse(event.data));
  };
  events.addEventListener("ended", () => setLive("ended"));
}

function setLive(state) {
  byId("live").hidden = false;
  if (byId("live").dataset.state === state) return;
  byId("live").dataset.state = state;
  byId("live").textContent = LIVE[state];
  renderNow();
}

function receive(change) {
  if (change.rows) addBlock(change.rows);
  if (change.totals) about.totals = change.totals;
  if (change.minutes) addMinutes(change.minutes);
  if (change.snapshot) about.snapshot = change.snapshot;
  scheduleUpdate(Boolean(change.rows));
}

function renderNow() {
  const run = about.snapshot;
  const isOver = byId("live").dataset.state === "ended"; // the last snapshot is older
  byId("now").hidden = !about.live || !run || isOver;
  if (byId("now").hidden) return;
  const paused = run.buckets.filter((bucket) => bucket.paused_until > run.at);
  byId("now").replaceChildren(
    element("p", {}, run.ends_at ? [element("strong", {}, `${duration(Math.max(0, run.ends_at - run.at))} left`),
      `, until about ${clock(run.ends_at)}`] : "The end is not known yet"),
    element("ul", {}, run.providers.map((each) => element("li", {}, element("strong", {}, each.name), " ",
      `${number(each.waiting)} waiting for quota, ${number(each.at_provider)} at the provider, `
      + `${number(each.downloading)} downloading`,
      each.is_stopped ? "; stopped: the rest stays pending in this run" : ""))),
    element("ul", {}, run.buckets.map((each) => element("li", {}, element("strong", {}, each.name), " ",
        `${brief(each.sent)} requests a second`, each.rate ? ` of ${brief(each.rate)} allowed` : "",
        paused.includes(each) ? `; paused until ${clock(each.paused_until, true)}` : ""))),
    ...waitingList(run),
    run.problem ? element("p", { class: "problem" }, element("span", { class: "label" },
      `Last problem, ${clock(run.problem_at ?? run.at, true)}: `), element("bdi", {}, run.problem)) : "");
}

// What waits for a reason of its own, and the source captions if any are fetched.
function waitingList({ waits, sources }) {
  const lines = waits.map((each) => `${each.where}: ${counted(each.count, "wait")} for ${each.reason}, `
    + `until ${clock(each.until, true)}`);
  if (sources) {
    lines.push(`Source captions: ${number(sources.fetched)} of ${number(sources.total)}`
      + (sources.failed ? `, ${number(sources.failed)} could not be had` : ""));
  }
  return lines.length ? [element("ul", {}, lines.map((each) => element("li", { dir: "auto" }, each)))] : [];
}
