import assert from "node:assert/strict";
import { test } from "node:test";
import { countInFlight } from "../../../src/dns/serve/in-flight.ts";
import { connectionShares } from "../../../src/dns/serve/tcp.ts";

const limits = { maxConnections: 6, maxConnectionsPerClient: 3, idleMs: 1000 };
const client = (n: number) => `192.0.2.${n}`;

/** Shares of connections, which have names; what is closed is in `closed`. */
function start() {
  const closed: string[] = [];
  const dropped: string[] = [];
  const { allowed, others } = connectionShares(limits, (who) => dropped.push(who));
  const connection = (name: string, of: string) => ({ client: of, destroy: () => void closed.push(name) });
  return { ...{ allowed, others, closed, dropped, connection } };
}

test("connectionShares() closes the connection that a client has had idle longest when it has too many", () => {
  const { allowed, closed, dropped, connection } = start();
  const own = ["a", "b", "c"].map((name) => connection(name, client(1)));
  for (const one of own) allowed.add(client(1), one);
  if (own[0] !== undefined) allowed.touch(client(1), own[0]);
  for (const name of ["d", "e"]) allowed.add(client(1), connection(name, client(1)));
  assert.deepEqual([closed, dropped, allowed.size()], [["b", "c"], [client(1), client(1)], 3]);
});

test("connectionShares() takes from who has most when all are taken, and never from who has fewer", () => {
  const { allowed, closed, connection } = start();
  for (const n of [1, 2])
    for (const name of ["a", "b", "c"]) allowed.add(client(n), connection(`${n}${name}`, client(n)));
  for (let n = 3; n <= 6; n++) allowed.add(client(n), connection(`${n}`, client(n)));
  assert.deepEqual(closed, ["1a", "2a", "1b", "2b"]);
  assert.equal(allowed.size(), 6);
});

test("connectionShares() keeps eight of clients that are not allowed, who take no place of others", () => {
  const { allowed, others, closed, connection } = start();
  for (let n = 0; n < 12; n++) others.add(client(n), connection(`${n}`, client(n)));
  assert.deepEqual(closed, ["0", "1", "2", "3"]);
  for (let n = 0; n < 6; n++) allowed.add(client(100 + n), connection("own", client(100 + n)));
  assert.deepEqual([allowed.size(), others.size(), closed.length], [6, 8, 4]);
});

test("countInFlight() is idle when all that began has ended, and wakes everyone who waits", async () => {
  const inFlight = countInFlight();
  await inFlight.idle();
  const work = Promise.withResolvers<void>();
  inFlight.begin();
  inFlight.track(work.promise);
  let idle = 0;
  const waits = [1, 2].map(() => inFlight.idle().then(() => idle++));
  inFlight.end();
  await new Promise(setImmediate);
  assert.equal(idle, 0);
  work.resolve();
  await Promise.all(waits);
  assert.equal(idle, 2);
});
