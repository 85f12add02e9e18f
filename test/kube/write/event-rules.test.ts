import assert from "node:assert/strict";
import { test } from "node:test";
import { toForeign } from "../../../src/kube/watch/project.ts";
import { eventWriter } from "../../../src/kube/write/events.ts";
import type { Hold } from "../../../src/model/plan.ts";
import type { ForeignObject } from "../../../src/model/standing.ts";
import type { Notice, WriteOptions } from "../../../src/model/target.ts";
import { fakeApi, statusError } from "../fake-api.ts";
import { MESH, SHOP } from "../objects.ts";

interface WrittenEvent {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly apiVersion: string; readonly name: string };
}

/** A writer of Events on an API server in memory, in the way of which stands an object of each kind. */
function setUp() {
  const api = fakeApi();
  const foreign = new Map<string, ForeignObject>();
  for (const kind of ["Service", "ServiceEntry", "VirtualService", "HTTPRoute"])
    foreign.set(
      `${kind}/${SHOP}/web`,
      toForeign(
        kind,
        { metadata: { name: "web", namespace: SHOP, uid: `u-${kind}` } },
        { clusterDomain: "cluster.local" },
      ),
    );
  const warnings: string[] = [];
  const log = { warn: (_fields: object, message: string) => void warnings.push(message) };
  const writer = eventWriter({
    ...{ client: api.client, owner: "east", namespace: MESH, log: log as never },
    standing: { foreign, objects: new Map() },
  });
  const how: WriteOptions = { signal: new AbortController().signal, mayWrite: () => true };
  const events = () =>
    [...api.objects].flatMap(([path, event]) => (path.includes("/events/") ? [event as unknown as WrittenEvent] : []));
  return {
    ...{ api, warnings, events },
    report: (holds: readonly Hold[], notices: readonly Notice[] = [], further: Partial<WriteOptions> = {}) =>
      writer.report(holds, { ...how, ...further }, notices),
  };
}

function holdOf(reason: Hold["reason"], kind = "Service", further: Partial<Hold> = {}): Hold {
  const regarding = `${kind}/${SHOP}/web`;
  return {
    reason,
    subject: regarding,
    service: "vms/default/web",
    registry: "vms",
    message: "m",
    regarding,
    ...further,
  };
}

const table: readonly { readonly hold: Hold; readonly want: string | undefined }[] = [
  { hold: holdOf("foreign"), want: "AliasHeld" },
  { hold: holdOf("name"), want: "AliasHeld" },
  { hold: holdOf("foreign", "ServiceEntry"), want: "NameHeld" },
  { hold: holdOf("name", "VirtualService"), want: "NameHeld" },
  { hold: holdOf("name", "HTTPRoute"), want: "NameHeld" },
  { hold: holdOf("address"), want: "VipClaimed" },
  { hold: holdOf("address", "ServiceEntry"), want: "VipClaimed" },
  { hold: holdOf("invalid", "ServiceEntry"), want: "EntryHeld" },
  { hold: holdOf("orphan", "ServiceEntry"), want: "EntryHeld" },
  { hold: holdOf("stage"), want: "StepRefused" },
  { hold: holdOf("brake"), want: undefined },
  { hold: holdOf("foreign", "Service", { regarding: `Service/${SHOP}/unknown` }), want: undefined },
];
for (const { hold, want } of table)
  test(`a hold for ${hold.reason} about ${hold.regarding} is told as ${want}`, async () => {
    const { report, events } = setUp();
    await report([hold]);
    const [kind, , name] = (hold.regarding ?? "").split("/");
    assert.deepEqual(
      events().map(({ reason, involvedObject }) => [reason, involvedObject.kind, involvedObject.name]),
      want === undefined ? [] : [[want, kind, name]],
    );
  });

test("a hold is told once; another reason or another subject is another Event", async () => {
  const { report, events } = setUp();
  for (const hold of [
    holdOf("foreign"),
    holdOf("foreign"),
    holdOf("name"),
    holdOf("foreign", "Service", { subject: "x" }),
  ])
    await report([hold]);
  assert.equal(events().length, 3);
});

test("an Event that is there already is left as it is", async () => {
  const { api, report } = setUp();
  await report([holdOf("foreign")]);
  const [[path = "", event] = []] = [...api.objects];
  const other = setUp();
  other.api.objects.set(path, event ?? {});
  await other.report([holdOf("foreign")]);
  assert.deepEqual(
    other.api.seen.filter((line) => line.startsWith("POST")),
    [],
  );
});

test("one pass writes 50 Events of each sort at most, and the next ones go on", async () => {
  const { report, events } = setUp();
  const holds = Array.from({ length: 51 }, (_, at) => holdOf("foreign", "Service", { subject: `s${at}` }));
  const notices = Array.from({ length: 51 }, (_, at) => ({ reason: "BrakeOn", subject: `n${at}`, message: "m" }));
  await report(holds, notices);
  assert.equal(events().length, 100);
  await report(holds, notices);
  assert.equal(events().length, 102);
});

test("a message is cut to what the API server takes", async () => {
  const { report, events } = setUp();
  await report([], [{ reason: "BrakeOn", subject: "s", message: "m".repeat(2000) }]);
  assert.equal(events()[0]?.message.length, 1024);
});

test("an Event that may not be sent for now is sent with the next pass", async () => {
  const { report, events } = setUp();
  const notice = { reason: "BrakeOn", subject: "s", message: "m" };
  await report([holdOf("foreign")], [notice], { mayWrite: () => false });
  assert.deepEqual(events(), []);
  await report([holdOf("foreign")], [notice]);
  assert.equal(events().length, 2);
});

test("an Event that is refused is told of once, and tried no more", async () => {
  const { api, report, warnings } = setUp();
  api.before = ({ method }) => {
    if (method === "POST") throw statusError(403, "Forbidden");
  };
  await report([holdOf("foreign")]);
  await report([holdOf("foreign")]);
  assert.equal(api.seen.filter((line) => line.startsWith("POST")).length, 1);
  assert.deepEqual(warnings, ["an Event cannot be written"]);
});

test("an Event that another replica writes meanwhile is no failure", async () => {
  const { api, report, warnings } = setUp();
  api.before = ({ method }) => {
    if (method === "POST") throw statusError(409, "AlreadyExists");
  };
  await report([holdOf("foreign")]);
  assert.deepEqual(warnings, []);
});
