import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  HELD_LOSS_ANNOTATION,
  HELD_SERVICES_ANNOTATION,
  type Manifest,
  PROVENANCE_ANNOTATION,
  SHRUNK_ANNOTATION,
} from "../../src/model/objects.ts";
import { securityRow } from "../security/row.ts";
import { sized } from "../size.ts";
import { strangersActs } from "./acts.ts";
import { ESTATES, LESS, type Stand, standingEstate } from "./estate.ts";

/** All estates together: at least 5,000 cases. */
const CASES = sized(5000, { quick: 120 });

/** All that stood before is as it was, but for the endpoints of entries. */
function assertUntouched(stand: Stand, before: ReadonlyMap<string, Manifest>, answers: ReadonlyMap<string, string>) {
  const now = stand.objects();
  for (const [key, manifest] of before)
    assert.deepEqual(withoutEndpoints(now.get(key)), withoutEndpoints(manifest), key);
  const said = stand.answers();
  for (const [name, answer] of answers) assert.equal(said.get(name), answer, name);
}

function withoutEndpoints(manifest: Manifest | undefined): unknown {
  if (manifest?.kind !== "ServiceEntry") return manifest;
  const { endpoints: _, ...spec } = manifest.spec;
  const {
    [SHRUNK_ANNOTATION]: __,
    [PROVENANCE_ANNOTATION]: ___,
    [HELD_LOSS_ANNOTATION]: ____,
    [HELD_SERVICES_ANNOTATION]: _____,
    ...annotations
  } = manifest.metadata.annotations ?? {};
  return { ...manifest, metadata: { ...manifest.metadata, annotations }, spec };
}

/** Each service's endpoints are those that its registry has now. */
function assertUpdated(stand: Stand, before: ReadonlyMap<string, Manifest>, shift: number): void {
  const now = stand.objects();
  for (const [key, manifest] of before) {
    if (manifest.kind !== "ServiceEntry") continue;
    const was = (manifest.spec.endpoints ?? []).map(({ address }) => address);
    const is = now.get(key);
    assert.ok(is?.kind === "ServiceEntry", key);
    const last = (address = "") => Number(address.split(".")[3]);
    assert.deepEqual(
      (is.spec.endpoints ?? []).map(({ address }) => address),
      was[0] === "192.0.2.1" && shift >= LESS ? [was[0]] : [was[0], `198.51.100.${last(was[1]) + shift}`],
      key,
    );
  }
}

for (const estate of ESTATES)
  for (const registry of ["dc1", "vms"])
    test(
      securityRow(
        {
          who: "cluster tenant",
          attack: "plants whatever it may, while a registry tenant registers whatever it may, at random",
          outcome: "no name, VIP or object of another service changes, and its endpoints go on following its registry",
        },
        `in ${registry}, estate ${estate}`,
      ),
      async (t) => {
        const { aims } = await standingEstate(estate);
        const costs: [number, number][] = [];
        await fc.assert(
          fc.asyncProperty(strangersActs(aims, registry), fc.boolean(), async (acts, isRestart) => {
            const stand = await standingEstate(estate);
            const [objects, answers] = [stand.objects(), stand.answers()];
            const usual = Math.min(...stand.costsMs.splice(0));
            for (const [at, act] of acts.entries()) {
              stand.suffer(act);
              if (isRestart) stand.restart();
              await stand.settle(at * 50);
              assertUntouched(stand, objects, answers);
              assertUpdated(stand, objects, at * 50);
            }
            await stand.settle(150);
            assertUntouched(stand, objects, answers);
            assertUpdated(stand, objects, 150);
            stand.suffer({ planted: [], registered: [] });
            await stand.settle(200);
            assertUntouched(stand, objects, answers);
            costs.push([usual, Math.min(...stand.costsMs)]);
          }),
          { numRuns: Math.ceil(CASES / ESTATES.length / 2) },
        );
        const ratios = costs.map(([usual, now]) => now / usual).sort((a, b) => a - b);
        t.diagnostic(`a pass beside strangers ÷ a pass before: median ${ratios[ratios.length >> 1]?.toFixed(2)}`);
      },
    );
