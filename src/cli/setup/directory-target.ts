import type { Config } from "../../config/config.ts";
import { neverLeads, type SoleWriter, soleWriter } from "../../controller/leadership.ts";
import type { CliContext } from "../context.ts";
import { targetMetrics } from "./metrics.ts";
import type { OpenTarget } from "./open-target.ts";
import { premadeRule } from "./premade-rule.ts";

/** Open a folder. Its code is loaded here: a command uses one kind of target. */
export async function openDirectory(
  config: Config,
  path: string,
  { log, identity, metrics }: CliContext,
): Promise<OpenTarget> {
  const { directoryTarget } = await import("../../directory/directory.ts");
  const { directoryLock } = await import("../../directory/lock.ts");
  const target = directoryTarget({
    path,
    owner: config.owner,
    ledgerNamespace: config.vips.ledgerNamespace,
    premade: premadeRule(config),
    claims: config.migration.claims,
    log,
    onWrite: metrics.once(targetMetrics).onWrite,
  });
  const lock = directoryLock(path);
  let sole: SoleWriter | undefined;
  async function askRunning(what: "release" | "prune", registry: string): Promise<void> {
    const { askReplica } = await import("./ask-replica.ts");
    await askReplica(config.http, what, registry);
  }
  return {
    target,
    async acquire() {
      const other = await lock.acquire();
      return { mayWrite: () => true, release: () => lock.release(), ...other };
    },
    async elect() {
      if (config.policy.mode === "dry-run") return neverLeads();
      const other = await lock.acquire();
      if (other !== undefined)
        throw new Error(
          `Cannot run as ${other.holder} already writes to ${path}: stop it, or give this one another target.path`,
        );
      sole = soleWriter(identity);
      return sole;
    },
    async markAllowDeletes(names) {
      if (sole === undefined) for (const name of names) await askRunning("release", name);
      else sole.release(names);
    },
    async askToPrune(registry) {
      if (sole === undefined) await askRunning("prune", registry);
      else sole.prune([registry]);
      return async () => false;
    },
    async close() {
      await target.close();
      await lock.release();
    },
  };
}
