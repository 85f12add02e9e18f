import { delimiter, dirname } from "node:path";
import { ensureServers, noServers } from "./build.ts";

/**
 * Have this process and what it starts find kubectl by its name: the one of the API server's version, whatever else the machine has.
 *
 * @returns Why tests that need it are to be skipped, or `false`.
 * @throws With CI=true instead of giving a reason.
 */
export async function findKubectl(): Promise<string | false> {
  const paths = await ensureServers(["kubectl"]);
  if (paths === undefined) return noServers;
  process.env.PATH = [dirname(paths.kubectl), process.env.PATH].join(delimiter);
  return false;
}
