import assert from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Snapshot } from "../../../src/model/adapter.ts";
import { faultRow } from "../../faults/row.ts";
import { adapterIn, failures, folder, item, read, services } from "./fixture.ts";

const BAD = ", weight: 1";

interface Want {
  readonly ok?: readonly string[];
  readonly failed?: Readonly<Record<string, readonly string[]>>;
  readonly incomplete?: string;
  readonly throws?: RegExp;
}

const cases: {
  name: string;
  files: Readonly<Record<string, string | Uint8Array>>;
  file?: unknown;
  namespace?: string;
  want: Want;
}[] = [
  {
    name: "reads one file",
    files: { "services.yaml": `services:\n${item("a")}${item("b")}` },
    want: { ok: ["default/a", "default/b"] },
  },
  { name: "reads a file of no services", files: { "services.yaml": "services: []" }, want: { ok: [] } },
  {
    name: "reads JSON",
    files: {
      "services.yaml": JSON.stringify({
        services: [{ name: "a", ports: [{ name: "http", number: 80, protocol: "HTTP" }], endpoints: [] }],
      }),
    },
    want: { ok: ["default/a"] },
  },
  {
    name: "reads a file that begins with a byte order mark",
    files: { "services.yaml": `\ufeffservices:\n${item("a")}` },
    want: { ok: ["default/a"] },
  },
  {
    name: "gives services without namespace the configured one",
    files: { "services.yaml": `services:\n${item("a")}${item("b", ", namespace: own")}` },
    namespace: "vm",
    want: { ok: ["vm/a", "own/b"] },
  },
  {
    name: "reads several files in the order configured",
    files: { "b.yaml": `services:\n${item("b")}`, "a.yaml": `services:\n${item("a")}` },
    file: ["b.yaml", "a.yaml"],
    want: { ok: ["default/b", "default/a"] },
  },
  {
    name: "reads a file once that is named twice",
    files: { "a.yaml": `services:\n${item("a")}` },
    file: ["a.yaml", "./a.yaml", "."],
    want: { ok: ["default/a"] },
  },
  {
    name: "reads the visible YAML files of a folder, sorted",
    files: {
      "d/b.yml": `services:\n${item("b")}`,
      "d/a.yaml": `services:\n${item("a")}`,
      "d/.hidden.yaml": "[",
      "d/notes.txt": "[",
      "d/below/c.yaml": "[",
    },
    file: "d",
    want: { ok: ["default/a", "default/b"] },
  },
  {
    name: "fails one bad service and reads the others",
    files: { "services.yaml": `services:\n${item("a")}${item("b", BAD)}${item("c")}` },
    want: {
      ok: ["default/a", "default/c"],
      failed: {
        "vms/default/b": [
          "services.yaml:3:101: services[1].weight: is not known here; known are namespace, name, ports, endpoints, metadata, legacyNames, check",
        ],
      },
    },
  },
  {
    name: "fails a service that stands twice in a file",
    files: { "services.yaml": `services:\n${item("a")}${item("b")}${item("a", ", namespace: default")}` },
    want: {
      ok: ["default/b"],
      failed: { "vms/default/a": ["vms/default/a is defined twice: services.yaml:2 and services.yaml:4"] },
    },
  },
  {
    name: "fails a service that stands in two files",
    files: { "d/a.yaml": `services:\n${item("a")}`, "d/b.yaml": `services:\n${item("a", BAD)}` },
    file: "d",
    want: {
      failed: {
        "vms/default/a": [
          "vms/default/a is defined twice: d/a.yaml:2 and d/b.yaml:2",
          "d/b.yaml:2:101: services[0].weight: is not known here; known are namespace, name, ports, endpoints, metadata, legacyNames, check",
        ],
      },
    },
  },
  {
    name: "is incomplete when a service has no name",
    files: { "services.yaml": `services:\n${item("a")}  - {ports: [], endpoints: []}\n` },
    want: {
      ok: ["default/a"],
      incomplete:
        "services.yaml:3:5: services[1].name: is missing; services.yaml:3:13: services[1].ports: must be a list with at least one item, is an empty list",
    },
  },
  {
    name: "is incomplete when a file does not parse",
    files: { "a.yaml": `services:\n${item("a")}`, "b.yaml": `services:\n${item("b")}  - }\n` },
    file: ["a.yaml", "b.yaml"],
    want: {
      ok: ["default/a", "default/b"],
      incomplete: 'b.yaml:3:5: Unexpected flow-map-end token in YAML stream: "}"',
    },
  },
  {
    name: "is incomplete when the only file does not parse",
    files: { "services.yaml": "services: [" },
    want: {
      ok: [],
      incomplete:
        "services.yaml:1:12: Flow sequence in block collection must be sufficiently indented and end with a ]",
    },
  },
  {
    name: "is incomplete when the file is empty",
    files: { "services.yaml": "" },
    want: { ok: [], incomplete: "services.yaml:1:1: must be a mapping with the key services, is empty" },
  },
  {
    name: "is incomplete when one of two files is missing",
    files: { "a.yaml": `services:\n${item("a")}` },
    file: ["a.yaml", "b.yaml"],
    want: { ok: ["default/a"], incomplete: "b.yaml: no such file (DIR/b.yaml)" },
  },
  {
    name: "is incomplete when a folder is empty",
    files: { "a.yaml": `services:\n${item("a")}`, "d/.keep": "" },
    file: ["a.yaml", "d"],
    want: { ok: ["default/a"], incomplete: "d: this folder holds no *.yaml or *.yml" },
  },
  {
    name: "is incomplete when a file is not UTF-8",
    files: { "a.yaml": `services:\n${item("a")}`, "b.yaml": Buffer.from("services: [\xff]", "latin1") },
    file: ["a.yaml", "b.yaml"],
    want: { ok: ["default/a"], incomplete: "b.yaml: is not UTF-8" },
  },
  {
    name: "throws when no file is there",
    files: {},
    want: {
      throws: /^Error: Cannot read services of registry "vms": services\.yaml: no such file \(DIR\/services\.yaml\)$/,
    },
  },
  {
    name: "throws when the folder is empty",
    files: { "d/.keep": "" },
    file: "d",
    want: { throws: /^Error: Cannot read services of registry "vms": d: this folder holds no \*\.yaml or \*\.yml$/ },
  },
  {
    name: "throws when the file is larger than 64 MiB",
    files: { "services.yaml": `services:\n${"#".repeat(64 * 1024 * 1024)}` },
    want: { throws: /services\.yaml: must be at most 64 MiB, is 67108874 bytes: use several files$/ },
  },
  {
    name: "is incomplete when a file of another form is larger than 8 MiB",
    files: { "a.yaml": `services:\n${item("a")}`, "b.yaml": `services: []\n${"#".repeat(8 * 1024 * 1024)}` },
    file: ["a.yaml", "b.yaml"],
    want: {
      ok: ["default/a"],
      incomplete:
        "b.yaml: must be at most 8 MiB, as it is no list of services under the key services alone, or uses anchors; is 8388621 characters: use several files",
    },
  },
];

for (const { name, files, file, namespace, want } of cases) {
  test(`read() ${name}`, async (t) => {
    const dir = await folder(t);
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(dir, path, ".."), { recursive: true });
      await writeFile(join(dir, path), text);
    }
    const adapter = adapterIn(dir, {
      ...(file === undefined ? {} : { file }),
      ...(namespace === undefined ? {} : { namespace }),
    });
    if (want.throws !== undefined) {
      await assert.rejects(
        read(adapter),
        (error) =>
          new RegExp(want.throws?.source.replaceAll("DIR", dir) ?? "").test(String(error)) ||
          assert.fail(String(error)),
      );
      return;
    }
    const snapshot = await read(adapter);
    const ok = snapshot.services.flatMap((one) =>
      one.state === "ok" ? [`${one.service.namespace}/${one.service.name}`] : [],
    );
    assert.deepEqual(
      { ok, failed: failures(snapshot), incomplete: snapshot.incomplete },
      { ok: want.ok ?? [], failed: want.failed ?? {}, incomplete: want.incomplete?.replaceAll("DIR", dir) },
    );
  });
}

test("read() of a device is refused, not hung on", async () => {
  await assert.rejects(read(adapterIn("/", { file: "dev/zero" })), /dev\/zero: is not a regular file/);
});

test(
  faultRow({ target: "static", fault: "a file is read while it is being written", expect: "no half of it is used" }),
  async (t) => {
    const dir = await folder(t);
    const path = join(dir, "services.yaml");
    await writeFile(path, `services:\n${item("a")}`);
    // No time passes: the file is as new as can be until it is written.
    t.mock.method(performance, "now", () => 0);
    t.mock.timers.enable({ apis: ["Date"], now: Math.floor((await stat(path)).mtimeMs) });
    let isRead = false;
    const reading = read(adapterIn(dir)).finally(() => {
      isRead = true;
    });
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(!isRead);
    await writeFile(path, `services:\n${item("a")}${item("b")}`);
    t.mock.timers.setTime((await stat(path)).mtimeMs + 1000);
    assert.deepEqual(Object.keys(services(await reading)), ["a", "b"]);
  },
);

test("read() rejects when the signal aborts", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), "services: []");
  await assert.rejects(adapterIn(dir).read(AbortSignal.abort(new Error("stop")), { trigger: "poll" }), /stop|abort/);
});

async function twoReads(t: Parameters<typeof folder>[0], first: string, second: string): Promise<[Snapshot, Snapshot]> {
  const dir = await folder(t);
  const adapter = adapterIn(dir);
  await writeFile(join(dir, "services.yaml"), first);
  const before = await read(adapter);
  await writeFile(join(dir, "services.yaml"), second);
  return [before, await read(adapter)];
}

test("read() gives the same objects while a file stays the same", async (t) => {
  const text = `services:\n${item("a")}${item("bad", BAD)}`;
  const [before, after] = await twoReads(t, text, text);
  assert.equal(before.revision, after.revision);
  for (const [index, one] of before.services.entries()) assert.equal(after.services[index], one);
});

test("read() gives the same objects for services that a change leaves alone", async (t) => {
  const [before, after] = await twoReads(
    t,
    `services:\n${item("a")}${item("b")}${item("bad", BAD)}`,
    `services:\n${item("a")}${item("b").replace("192.0.2.1", "192.0.2.9")}${item("bad", BAD)}`,
  );
  assert.notEqual(before.revision, after.revision);
  assert.equal(after.services[0], before.services[0]);
  assert.notEqual(after.services[1], before.services[1]);
  assert.equal(after.services[2], before.services[2]);
});

test("read() of a service that moved to another line differs in nothing else", async (t) => {
  const [before, after] = await twoReads(t, `services:\n${item("a")}`, `# moved\nservices:\n${item("a")}`);
  assert.deepEqual({ ...services(before)["a"], source: "" }, { ...services(after)["a"], source: "" });
  assert.equal(services(after)["a"]?.source, "services.yaml:3");
});

test("read() gives the same object again after the file was broken for a while", async (t) => {
  const dir = await folder(t);
  const adapter = adapterIn(dir);
  const snapshots: Snapshot[] = [];
  for (const text of [
    `services:\n${item("a")}`,
    `services:\n${item("a", BAD)}`,
    "services: [",
    `services:\n${item("a")}`,
  ]) {
    await writeFile(join(dir, "services.yaml"), text);
    snapshots.push(await read(adapter));
  }
  assert.deepEqual(
    snapshots.map(({ services, incomplete }) => [services[0]?.state, incomplete !== undefined]),
    [
      ["ok", false],
      ["failed", false],
      [undefined, true],
      ["ok", false],
    ],
  );
  assert.equal(snapshots[3]?.services[0], snapshots[0]?.services[0]);
});
