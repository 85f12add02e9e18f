import { describe, test } from "node:test";
import type { AdapterModule, ModuleLog } from "../../adapters/contract.ts";
import { createFrom } from "../../adapters/module/create.ts";
import { guarded } from "../../adapters/module/guard.ts";
import { jsonReader } from "../../adapters/read-json.ts";
import type { Adapter } from "../model/adapter.ts";
import { callChecks, closeWorld } from "./call-checks.ts";
import type { Check } from "./fixture.ts";
import { probeOf } from "./probe.ts";
import { readChecks } from "./read-checks.ts";
import type { StartWorld } from "./world.ts";

// The public face of the package's test kit: `import { adapterContract } from "x2istio/testing"`.

export type { AdapterWorld, Restore, StartWorld } from "./world.ts";

/** How to check an adapter. */
export interface ContractOptions {
  /** Makes an empty registry with its adapter. */
  readonly start: StartWorld;
  /** How long the adapter may take to see a change; 10 s. */
  readonly waitMs?: number;
}

/** What every adapter must do, one test each. Runs under `node --test`; checks whose means the world does not have are skipped. */
export function adapterContract(name: string, { start, waitMs = 10_000 }: ContractOptions): void {
  describe(`${name} keeps the contract of adapters`, () => {
    for (const check of contractChecks)
      test(check.name, async (t) => {
        const missing = await runCheck(check, start, waitMs);
        if (missing !== undefined) t.skip(`this world has no ${missing}`);
      });
  });
}

/** All checks, for those who run them by other means. */
export const contractChecks: readonly Check[] = [...readChecks, ...callChecks];

/**
 * Run one check in a world of its own.
 *
 * @returns What the world lacks for it; `undefined` when the check was run.
 * @throws AssertionError when the adapter does not keep it.
 */
export async function runCheck(check: Check, start: StartWorld, waitMs: number): Promise<string | undefined> {
  const world = await start();
  try {
    const { needs } = check;
    const has = needs === "waitForChange" ? world.adapter.waitForChange : needs === undefined ? true : world[needs];
    if (has === undefined) return needs;
    await check.run(probeOf(world, waitMs), start);
  } finally {
    await closeWorld(world);
  }
  return undefined;
}

/** How a module is configured: `options` as in the configuration file. */
export interface ModuleSetting {
  readonly registry: string;
  readonly options?: unknown;
  /** Folder of the configuration; the current one. */
  readonly dir?: string;
  /** The registry's option of this name. */
  readonly ownNames?: boolean;
  /** Silent when absent. */
  readonly log?: ModuleLog;
}

/**
 * The adapter that X2Istio makes of a module: options pass its schema, and what it reads is checked and copied.
 *
 * @throws {ConfigError} When the module refuses its options or makes no adapter.
 */
export async function adapterOf(module: AdapterModule, setting: ModuleSetting): Promise<Adapter> {
  const { registry, options, dir = process.cwd(), ownNames = false, log = SILENT } = setting;
  const adapter = await createFrom(module, options, { registry, dir, log, readJson: jsonReader() });
  return guarded(adapter, { registry, legacyNames: ownNames, readTimeoutMs: 60_000, log });
}

const SILENT: ModuleLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
