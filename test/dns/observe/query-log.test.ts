import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoggedQuery } from "../../../src/dns/observe/hooks.ts";
import { sampler } from "../../../src/dns/observe/sampler.ts";
import { ask, openTcp, orders, startServer } from "../sockets.ts";
import { query } from "../wire.ts";

test("sampler() takes its share, and no more than 100 a second", () => {
  let nowMs = 0;
  let at = 0;
  const takes = sampler(
    0.5,
    () => (at++ % 10) / 10,
    () => nowMs,
  );
  const count = (calls: number) => Array.from({ length: calls }, takes).filter(Boolean).length;
  assert.equal(count(100), 50);
  assert.equal(count(1000), 50);
  nowMs = 1000;
  assert.equal(count(1000), 100);
  assert.equal(Array.from({ length: 100 }, sampler(0)).filter(Boolean).length, 0);
});

for (const workers of [0, 1])
  test(`the query log has what was asked and answered, ${workers} workers`, async (t) => {
    const logged: LoggedQuery[] = [];
    const hooks = { onQuery: (entry: LoggedQuery) => void logged.push(entry) };
    const { at, server } = await startServer(t, { queryLog: 1, hooks, workers });
    await ask(at, query("OrDers.mesh.internal"));
    await ask(at, query([Buffer.from("a\nb"), Buffer.from("mesh"), Buffer.from("internal")]));
    const tcp = await openTcp(at);
    tcp.send(orders({ type: 28 }));
    await tcp.take(1);
    tcp.socket.destroy();
    await server.stop();
    assert.deepEqual(
      logged.map(({ client, transport, name, type, rcode, source, view }) =>
        [client, transport, name, type, rcode, source, view].join(" "),
      ),
      [
        "127.0.0.1 udp orders.mesh.internal A NOERROR table mesh",
        "127.0.0.1 udp a\\010b.mesh.internal A NXDOMAIN table mesh",
        "127.0.0.1 tcp orders.mesh.internal AAAA NOERROR table mesh",
      ],
    );
  });
