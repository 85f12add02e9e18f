import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../src/kube/client/raw.ts";
import { toStanding } from "../../src/kube/watch/project.ts";
import { REGISTRY_LABEL, SERVICE_ANNOTATION, type ServiceEntry } from "../../src/model/objects.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import { faultRow } from "../faults/row.ts";
import { buildNameTable, decider } from "../plan/at-once.ts";
import { ourLabels, service, snapshot } from "../plan/build.ts";
import { config, memoryTarget } from "../plan/memory.ts";

const KEY = "ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal";
const HOST = "orders.shop.dc1.mesh.internal";
const DAY_MS = 86_400_000;

type Metadata = ServiceEntry["metadata"];
const edits: readonly { readonly name: string; readonly edit: (metadata: Metadata) => Partial<Metadata> }[] = [
  { name: "takes its annotations off", edit: () => ({ annotations: {} }) },
  { name: "makes its service unreadable", edit: () => ({ annotations: { [SERVICE_ANNOTATION]: "orders" } }) },
  { name: "gives it another registry's label", edit: () => ({ labels: ourLabels("dc2") }) },
  {
    name: "takes its registry's label off",
    edit: ({ labels }) => ({
      labels: Object.fromEntries(Object.entries(labels ?? {}).filter(([name]) => name !== REGISTRY_LABEL)),
    }),
  },
];

for (const { name, edit } of edits) {
  test(
    faultRow(
      {
        target: "API server",
        fault: "someone edits what marks an entry as ours, while its registry cannot be read",
        expect: "it is neither emptied nor deleted; its name is answered, and its VIP goes to nobody else",
      },
      name,
    ),
    async () => {
      const target = memoryTarget();
      // Room for the entry that stands and for one more.
      const settings = config(["dc1", "dc2"], { vips: { ranges: ["240.241.0.0/30"], quarantine: "1h" } });
      const readings = (dc1: Reading, ...names: readonly string[]) =>
        new Map<string, Reading>([
          ["dc1", dc1],
          [
            "dc2",
            {
              state: "read",
              snapshot: snapshot(
                "dc2",
                names.map((one) => service(one, { registry: "dc2" })),
              ),
            },
          ],
        ]);
      const options = { signal: new AbortController().signal, mayWrite: () => true };
      async function passed(now: ReadonlyMap<string, Reading>) {
        const input = { readings: now, standing: target.standing(), nowMs: target.nowMs() };
        const { plan, ledger } = decider(settings)({
          ...input,
          allowDeletes: new Set(),
        });
        await target.writeLedger(ledger?.writes ?? [], options);
        await target.write([...plan.update, ...plan.create, ...plan.delete], options);
        return plan;
      }
      await passed(readings({ state: "read", snapshot: snapshot("dc1", [service()]) }));
      const before = target.objects.get(KEY) ?? assert.fail();
      target.objects.set(KEY, edited(before, edit));
      for (let day = 0; day < 3; day++) {
        const plan = await passed(readings({ state: "failed", why: "refused" }, "one", "two"));
        assert.deepEqual(plan.delete, []);
        target.clockMs += DAY_MS;
      }
      const after = target.objects.get(KEY) ?? assert.fail();
      assert.deepEqual(after.manifest.spec, before.manifest.spec);
      const { names } = buildNameTable(target.standing(), { settleMs: 0, nowMs: target.nowMs() });
      const [vip = ""] = names.get(HOST)?.a ?? [];
      assert.deepEqual([vip], (before.manifest as ServiceEntry).spec.addresses);
      const holders = [...names.values()].filter(({ a }) => a.includes(vip)).map(({ name: host }) => host);
      assert.deepEqual(holders, [HOST], "nobody else has its VIP");
      assert.equal(names.size, 2, "the other address was given out, and no more");
    },
  );
}

/** As someone left it: what the target reads from it follows. */
function edited(object: StandingObject, edit: (metadata: Metadata) => Partial<Metadata>): StandingObject {
  const metadata = { ...object.manifest.metadata, ...edit(object.manifest.metadata) };
  const raw = { ...object.manifest, metadata: { ...metadata, uid: object.uid, resourceVersion: "edited" } };
  return toStanding("ServiceEntry", raw as unknown as RawObject, (value) => value);
}
