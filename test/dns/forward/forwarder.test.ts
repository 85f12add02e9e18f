import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type ForwardOptions, forwarder } from "../../../src/dns/forward/forward.ts";
import { askedFor } from "../../../src/dns/forward/upstream-query.ts";
import { until } from "../../until.ts";
import { type Behaviour, silent, startUpstream, upstreamAnswer } from "../sockets.ts";

const asked = (name: string) => askedFor(name, 1) ?? assert.fail(`no name: ${name}`);
const answers: Behaviour = (packet) => [upstreamAnswer(packet)];
/** Fails at once: what it truncates by UDP cannot be had by TCP. */
const fails: Behaviour = (packet, transport) =>
  transport === "udp" ? [upstreamAnswer(packet, { flags: 0x8380 })] : "close";

/** A forwarder with two upstreams, the first of which does what the test says. Nobody is given up for being slow. */
async function start(t: TestContext, options: Partial<ForwardOptions> = {}) {
  const warnings: string[] = [];
  const state = { behave: answers };
  const first = await startUpstream(t, (packet, transport) => state.behave(packet, transport));
  const second = await startUpstream(t, answers);
  const made = forwarder({
    ...{ timeoutMs: 60_000, probe: (failed) => failed, isLoop: () => false },
    log: { warn: (_, message) => void warnings.push(message) },
    ...options,
  });
  t.after(() => made.close());
  let number = 0;
  /** Whether the first upstream is asked when a question comes. */
  const isAsked = async () => {
    const before = first.seen.length;
    assert.ok((await made.ask(asked(`n${number++}.example.org`), [first, second])) !== undefined);
    return first.seen.length > before;
  };
  return { made, state, first, second, isAsked, warnings };
}

/** Fails so often, answers, and so on: whether the first upstream is still asked first at the end. */
const runs: readonly { readonly title: string; readonly run: string; readonly isFirst: boolean }[] = [
  { title: "one failure", run: "f", isFirst: true },
  { title: "two failures in a row", run: "ff", isFirst: true },
  { title: "three failures in a row", run: "fff", isFirst: false },
  { title: "three failures with answers between", run: "fafaf", isFirst: true },
  { title: "five failures, never three in a row", run: "ffaffaf", isFirst: true },
  { title: "an answer, then three failures in a row", run: "afff", isFirst: false },
];
for (const { title, run, isFirst } of runs)
  test(`forwarder() asks an upstream ${isFirst ? "first" : "last"} after ${title}`, async (t) => {
    const { state, isAsked, warnings } = await start(t);
    for (const step of run) {
      state.behave = step === "f" ? fails : answers;
      assert.ok(await isAsked(), `step ${step} of ${run}`);
    }
    // One that is down goes on to fail, so that no probe brings it back meanwhile.
    state.behave = isFirst ? answers : fails;
    assert.equal(await isAsked(), isFirst);
    assert.deepEqual(warnings, isFirst ? [] : ["an upstream does not answer"]);
  });

test("forwarder() ends a question for which nobody waits any more, and asks nobody else", async (t) => {
  const first = await startUpstream(t, () => []);
  const second = await startUpstream(t, () => []);
  const made = forwarder({ timeoutMs: 60_000, probe: (failed) => failed, isLoop: () => false, log: silent });
  t.after(() => made.close());
  const stop = new AbortController();
  const asking = made.ask(asked("n1.example.org"), [first, second], stop.signal);
  await until(() => first.seen.length > 0);
  stop.abort();
  assert.equal(await asking, undefined);
  assert.equal(await made.ask(asked("n2.example.org"), [first, second], AbortSignal.abort()), undefined);
});

for (const count of [1, 3])
  test(`close() ends questions under way to ${count} upstreams, without asking the next, and lets none begin`, async (t) => {
    const silence = await Promise.all(Array.from({ length: count }, () => startUpstream(t, () => [])));
    const { made } = await start(t);
    const waiting = made.ask(asked("one.example.org"), silence);
    made.close();
    assert.equal(await waiting, undefined);
    assert.equal(await made.ask(asked("two.example.org"), silence), undefined);
    assert.deepEqual(
      silence.slice(1).map(({ seen }) => seen.length),
      Array(count - 1).fill(0),
    );
  });

test("forwarder() has nothing to give without upstreams", async (t) => {
  const { made } = await start(t);
  assert.equal(await made.ask(asked("one.example.org"), []), undefined);
});
