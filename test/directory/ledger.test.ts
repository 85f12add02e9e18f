import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { ConflictError } from "../../src/errors.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../../src/model/objects.ts";
import type { Target } from "../../src/model/target.ts";
import { inWorld, options } from "./world.ts";

test("ledger blocks are ConfigMaps, written only from the version they were computed from", () =>
  inWorld(async ({ path, open }) => {
    const [target, other] = [await open(), await open({ owner: "west" })];
    const block = "x2istio-vips-240-241-0-0";
    const versionOf = (of: Target) => of.standing().ledger.get(block)?.resourceVersion ?? "";
    await target.writeLedger([{ name: block, resourceVersion: "", data: { "240.241.0.7": "orders used" } }], options);
    assert.deepEqual(
      parseAllDocuments(await readFile(join(path, "mesh-services", `${block}.yaml`), "utf8"))[0]?.toJS(),
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: block, namespace: "mesh-services", labels: { [MANAGED_BY_LABEL]: MANAGED_BY } },
        data: { "240.241.0.7": "orders used" },
      },
    );
    await assert.rejects(other.writeLedger([{ name: block, resourceVersion: "", data: {} }], options), ConflictError);
    assert.deepEqual(other.standing().ledger.get(block)?.data, { "240.241.0.7": "orders used" });
    const stale = versionOf(target);
    await target.writeLedger(
      [{ name: block, resourceVersion: stale, data: { "240.241.0.7": "orders resting" } }],
      options,
    );
    await assert.rejects(
      target.writeLedger([{ name: block, resourceVersion: stale, data: {} }], options),
      ConflictError,
    );
    assert.deepEqual((await open()).standing().ledger.get(block), target.standing().ledger.get(block));
    assert.notEqual(versionOf(target), stale);
  }));

test("a ledger that cannot be read is never taken for an empty one", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(path, "mesh-services", "x2istio-vips-240-241-0-0.yaml"), "data: [\n");
    const target = await open();
    await assert.rejects(
      target.writeLedger([{ name: "x2istio-vips-240-241-0-0", resourceVersion: "", data: {} }], options),
      /Cannot write the VIP ledger: ".*" line 2: /,
    );
  }));
