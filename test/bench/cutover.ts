/**
 * How long after `x2istio migrate move` and `back` have returned the first call goes the other way. See README.md.
 * Asserts nothing about time.
 *
 * `node test/bench/cutover.ts [ROUNDS]`
 */
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { get, servicesPath } from "../e2e/cluster.ts";
import {
  allAnswer,
  type Callers,
  callOnAndOn,
  LEGACY,
  type Move,
  ORDERS,
  startCallers,
  startMove,
} from "../mesh/move.ts";
import { ownNetwork } from "../mesh/network.ts";
import { figuresLine } from "./table.ts";

const skip = await ownNetwork();
const rounds = Number(process.argv[2] ?? 10);
const PER_SECOND = 100;
/** Answers live for 1 s as the mesh's configuration says, and CoreDNS keeps no answer for less than 5 s (plugin cache, MINTTL). */
const TTL_SECONDS = 5;
const CALLERS = {
  http: "HTTP by legacy name, sidecar",
  tcp: "TCP by legacy name, sidecar",
  grpc: "gRPC by legacy name, proxyless",
  dns: "the legacy name's other address, by DNS",
} as const;

/** By caller, milliseconds from the command's return to the first call, or answer, of the new kind; 0 where that came before. */
type Sample = Readonly<Record<string, number>>;

await test("time from a step's command to the first call", { skip }, async (t) => {
  const move = await startMove(t);
  const callers = await startCallers(move.mesh);
  await move.report();
  await allAnswer(move.mesh, callers, "outside");
  const vip = (await move.mesh.entry(ORDERS.host)).addresses?.[0] ?? "";
  const { clusterIP } = (await get(move.mesh.kube, `${servicesPath()}/orders-v2`))?.spec ?? {};
  await callOnAndOn(callers, { http: PER_SECOND, tcp: PER_SECOND, grpc: PER_SECOND });
  const call = { kind: "lookUp", name: LEGACY, family: 4 } as const;
  await callers.batch.load({ name: "dns", perSecond: PER_SECOND, call });
  const taken = { move: [] as Sample[], back: [] as Sample[] };
  const commands: number[] = [];
  for (let at = -1; at < rounds; at++) {
    for (const step of ["move", "back"] as const) {
      const [who, address] = step === "move" ? ["inside", String(clusterIP)] : ["outside", vip];
      const startedMs = Date.now();
      const sample = await oneStep(move, callers, step, { http: who, tcp: who, grpc: who, dns: address });
      if (at < 0) continue; // the first round warms up
      taken[step].push(sample.after);
      commands.push(sample.returnedMs - startedMs);
      await delay(TTL_SECONDS * 1000);
    }
  }
  const lines = (step: keyof typeof taken) =>
    Object.entries(CALLERS).map(([caller, what]) =>
      figuresLine(
        what,
        taken[step].map((sample) => sample[caller] ?? Number.NaN),
      ),
    );
  process.stdout.write(
    [
      `\nfrom the return of x2istio migrate to the first call that goes the other way, ms; answers of DNS live up to ${TTL_SECONDS} s\n`,
      "\nmove, from outside\n",
      ...lines("move"),
      "\nback, from inside\n",
      ...lines("back"),
      "\nthe command itself\n",
      figuresLine("start to return", commands),
    ].join(""),
  );
});

/** Take one step and wait until every caller has met what it leads to. */
async function oneStep(
  { x2istio }: Move,
  callers: Callers,
  step: string,
  want: Readonly<Record<string, string>>,
): Promise<{ readonly returnedMs: number; readonly after: Sample }> {
  await callers.take();
  let returnedMs = 0;
  const command = x2istio("migrate", step, ORDERS.key).then(() => {
    returnedMs = Date.now();
  });
  const firstMs = new Map<string, number>();
  const deadlineMs = Date.now() + 60_000;
  while (firstMs.size < Object.keys(want).length) {
    if (Date.now() > deadlineMs) throw new Error(`Cannot measure ${step}: only ${[...firstMs.keys()].join()} saw it`);
    await delay(20);
    for (const [caller, load] of Object.entries(await callers.take())) {
      const seenMs = load.firstMs[want[caller] ?? ""];
      if (seenMs !== undefined && !firstMs.has(caller)) firstMs.set(caller, seenMs);
    }
  }
  await command;
  return {
    returnedMs,
    after: Object.fromEntries([...firstMs].map(([caller, ms]) => [caller, Math.max(0, ms - returnedMs)])),
  };
}
