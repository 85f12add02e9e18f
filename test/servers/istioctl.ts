import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { ensureServers, noServers } from "./build.ts";

/** What istioctl said: `ok` is no error and no warning either. */
export type Validation = { readonly ok: boolean; readonly output: string };

/**
 * Check `manifests` as Istio's validating webhook would, warnings included; also the port names of Services.
 *
 * It does not apply the CRD's schema and CEL rules, and passes what it has no check for, an unknown kind
 * among them. A server-side dry run (`?dryRun=All`) finds both.
 *
 * @throws When istioctl is not available, when there is nothing to check, or when a manifest is of no
 * API that it checks.
 */
export async function validate(manifests: readonly object[]): Promise<Validation> {
  if (manifests.length === 0) throw new Error("Cannot validate an empty list: it would always pass");
  for (const manifest of manifests) refuseUnchecked(manifest as { apiVersion?: unknown; kind?: unknown });
  const paths = await ensureServers(["istioctl"]);
  if (paths === undefined) throw new Error(`Cannot run istioctl: ${noServers}`);
  // Without a kubeconfig the namespace of an object that names none is "default".
  const env = { ...process.env, KUBECONFIG: "/dev/null" };
  const child = spawn(paths.istioctl, ["validate", "-f", "-"], { env, stdio: "pipe" });
  const exited = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("exit", resolve));
  child.stdin.on("error", () => {}); // it ended early: its exit code and output say why
  child.stdin.end(manifests.map((manifest) => `${JSON.stringify(manifest)}\n`).join("---\n"));
  const [code, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  const output = `${stdout}${stderr}`.trim();
  // Warnings leave the exit code 0 but take the place of this sentence.
  return { ok: code === 0 && output === "validation succeed", output };
}

function refuseUnchecked({ apiVersion, kind }: { apiVersion?: unknown; kind?: unknown }): void {
  if (/\.istio\.io\/v\w+$/.test(String(apiVersion)) && kind !== undefined && !String(kind).endsWith("List")) return;
  if (apiVersion === "v1" && kind === "Service") return;
  throw new Error(`Cannot validate ${apiVersion} ${kind}: istioctl has no check for it and would pass it`);
}
