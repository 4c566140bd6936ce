// Requests of each bucket, and rows of each provider.

function renderUsage() {
  const buckets = bucketNames();
  const tables = [];
  if (providers.size) tables.push(providerTable());
  if (buckets.length) tables.push(bucketTable(buckets));
  byId("usage").hidden = !tables.length;
  replaceAll(byId("usage-tables"), tables);
}

function bucketTable(buckets) {
  return table("Requests by bucket", ["Bucket", "Requests", "Throttled", "Quota used", "Most in a minute"],
    buckets.map((bucket) => {
      const requests = ofBucket(bucket, "requests");
      const quota = total(ofBucket(bucket, "quota"));
      return [bucket, number(total(requests)), number(total(ofBucket(bucket, "throttled"))),
        quota ? percent(total(requests), quota) : "no limit",
        number([...requests.values()].reduce((most, count) => Math.max(most, count), 0))];
    }), [1, 2, 3, 4]);
}

function providerTable() {
  const shown = Object.keys(STATUSES);
  const counts = new Map([...providers].map((name) => [name,
    Object.fromEntries(shown.map((status) => [status, 0]))]));
  for (const row of rows) if (row.provider) counts.get(row.provider)[row.status] += 1;
  const used = shown.filter((status) => [...counts.values()].some((each) => each[status]));
  return table("Captions by provider",
    ["Provider", ...used.map((status) => `${STATUSES[status].sign} ${STATUSES[status].label}`), "Jobs created"],
    [...counts].map(([name, each]) => [name, ...used.map((status) => number(each[status])),
      number(total(minutes.get(`${name} created`) ?? new Map()))]),
    [...used.keys(), used.length].map((at) => at + 1));
}
