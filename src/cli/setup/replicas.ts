import { readFile } from "node:fs/promises";
import type { HttpConfig } from "../../config/config.ts";
import { loadConfig } from "../../config/load.ts";
import { localReplica, type Replica } from "../../usage/call.ts";
import type { CliContext } from "../context.ts";

/** Which replicas a command asks, and how. */
export interface ReplicaOptions {
  /** HTTP addresses; without any, the one that the configuration names. */
  readonly from: readonly string[];
  /** A file with the token to send them. */
  readonly tokenFile?: string;
  /** A file with certificates in PEM to verify them by. */
  readonly ca?: string;
}

/** @throws When a file cannot be read. */
export async function replicasOf(
  context: Pick<CliContext, "configFile" | "configContext">,
  { from, tokenFile, ca }: ReplicaOptions,
): Promise<readonly Replica[]> {
  if (from.length === 0) return [await ownReplica((await loadConfig(context.configFile, context.configContext)).http)];
  const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, "utf8")).trim();
  const trusted = ca === undefined ? undefined : await readFile(ca, "utf8");
  return from.map((address) => ({ address: address.replace(/\/+$/, ""), token, ca: trusted }));
}

/** The process on this machine that answers by this configuration. It takes no token from here; without its certificate no call gets through. */
export async function ownReplica({ listen, tls }: HttpConfig): Promise<Replica> {
  return localReplica(listen, tls === undefined ? undefined : await readFile(tls.certFile, "utf8").catch(() => ""));
}
