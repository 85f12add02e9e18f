import { zonesByName } from "../../src/dns/answer/zones.ts";
import { readyAnswers } from "../../src/dns/ready/ready-answers.ts";
import { receivedNames } from "../../src/dns/ready/received-names.ts";
import { nameTable, service, ZONE } from "./dns-names.ts";

/** How long an answering thread takes for each of `changes` changes of one name among `count`, one after another. */
export function changeCostsMs(count: number, changes: number): readonly number[] {
  const received = receivedNames();
  const zones = { byName: zonesByName([{ name: ZONE, forward: [] }]) };
  const options = { zones, ttlSeconds: 30, recursionAvailable: false, onAnswer: () => {} };
  received.maker((table) => readyAnswers({ ...options, table }));
  const { names } = nameTable(count);
  received.take({ all: true, put: [...names.values()], gone: [], serial: 1 });
  return Array.from({ length: changes }, (_, n) => {
    const { name } = service((n * 7919) % count);
    const host = n % 3 === 0 ? `new-${n}.${ZONE}` : name;
    const row = { name: host, host, a: [`240.242.${n >> 8}.${n & 255}`], aaaa: [], settledAtMs: 0 };
    const startedMs = performance.now();
    received.take({ all: false, put: [row], gone: n % 3 === 0 ? [name] : [], serial: n + 2 });
    return performance.now() - startedMs;
  });
}
