import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const [code, output] = await istioctl(["validate", "-f", "-"], manifests);
  // Warnings leave the exit code 0 but take the place of this sentence.
  return { ok: code === 0 && output === "validation succeed", output };
}

/**
 * What `istioctl analyze` says of a cluster in which these manifests stand, and nothing else. Unlike {@link validate} it sees how they go together.
 *
 * @throws When istioctl is not available, or when there is nothing to check.
 */
export async function analyze(manifests: readonly object[], meshConfig: object = {}): Promise<Validation> {
  if (manifests.length === 0) throw new Error("Cannot analyze an empty list: it would always pass");
  const dir = await mkdtemp(join(tmpdir(), "x2istio-analyze-"));
  try {
    const file = join(dir, "mesh.json"); // JSON is YAML
    await writeFile(file, JSON.stringify(meshConfig));
    const limits = ["--failure-threshold", "Info", "--timeout", "5m"];
    const args = ["analyze", "--use-kube=false", "-A", ...limits, "--meshConfigFile", file, "-"];
    const [code, output] = await istioctl(args, manifests);
    return { ok: code === 0 && output.includes("No validation issues found"), output };
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Its exit code, and what it printed. */
async function istioctl(
  args: readonly string[],
  manifests: readonly object[],
): Promise<readonly [code: number | null, output: string]> {
  const paths = await ensureServers(["istioctl"]);
  if (paths === undefined) throw new Error(`Cannot run istioctl: ${noServers}`);
  // Without a kubeconfig the namespace of an object that names none is "default".
  const env = { ...process.env, KUBECONFIG: "/dev/null" };
  const child = spawn(paths.istioctl, args, { env, stdio: "pipe" });
  const exited = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("exit", resolve));
  child.stdin.on("error", () => {}); // it ended early: its exit code and output say why
  child.stdin.end(manifests.map((manifest) => `${JSON.stringify(manifest)}\n`).join("---\n"));
  const [code, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return [code, `${stdout}${stderr}`.trim()];
}

function refuseUnchecked({ apiVersion, kind }: { apiVersion?: unknown; kind?: unknown }): void {
  if (/\.istio\.io\/v\w+$/.test(String(apiVersion)) && kind !== undefined && !String(kind).endsWith("List")) return;
  if (apiVersion === "v1" && kind === "Service") return;
  throw new Error(`Cannot validate ${apiVersion} ${kind}: istioctl has no check for it and would pass it`);
}
