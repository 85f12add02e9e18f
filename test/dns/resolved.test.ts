import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { lacking } from "../servers/programs.ts";

const run = promisify(execFile);
const recipe = join(import.meta.dirname, "../../deploy/dns/systemd-resolved.conf");
const inside = join(import.meta.dirname, "resolvers-inside.ts");
const cache = join(process.env.X2ISTIO_CACHE ?? join(homedir(), ".cache/x2istio"), "systemd-resolved");

/**
 * A machine of its own with our recipe: a link that is up, without which systemd-resolved asks nobody, the user that it becomes, and its
 * configuration. $1 is a scratch folder, $2 the recipe, $3 the program.
 */
const SETUP = `
ip link set lo up; ip link add x0 type veth peer name x1; ip addr add 192.0.2.2/24 dev x0; ip link set x0 up; ip link set x1 up
mount -t tmpfs tmpfs /run; mkdir -p /run/systemd
for file in passwd group; do
  grep -v '^systemd-resolve:' /etc/$file > "$1/$file"
done
echo 'systemd-resolve:x:65533:65533::/:/usr/sbin/nologin' >> "$1/passwd"; echo 'systemd-resolve:x:65533:' >> "$1/group"
mount --bind "$1/passwd" /etc/passwd; mount --bind "$1/group" /etc/group
mkdir -p /etc/systemd; mount -t tmpfs tmpfs /etc/systemd; mkdir /etc/systemd/resolved.conf.d
cp "$2" /etc/systemd/resolved.conf.d/x2istio.conf
echo 'nameserver 127.0.0.53' > "$1/resolv.conf"; mount --bind "$1/resolv.conf" /etc/resolv.conf
SYSTEMD_LOG_LEVEL=err "$3" & shift 3; exec "$@"`;

/** Debian's packages, unpacked only: installed, they would take over this machine's own names. */
async function unpacked(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-resolved-"));
  try {
    await run("apt-get", ["download", "systemd-resolved", "libsystemd-shared"], { cwd: dir, timeout: 60_000 });
    await run("sh", ["-ec", "for deb in *.deb; do dpkg-deb -x $deb root; done"], { cwd: dir });
    await mkdir(join(cache, ".."), { recursive: true });
    await rename(join(dir, "root"), cache).catch(() => run("cp", ["-a", join(dir, "root"), cache]));
  } finally {
    await rm(dir, { recursive: true });
  }
  return join(cache, "lib/systemd/systemd-resolved");
}

/** The program and where its libraries are, or why it cannot be had. */
async function resolved(): Promise<{ readonly program: string; readonly libraries: string } | string> {
  const missing = lacking("ip", "dig", "unshare", "getent");
  if (missing !== false) return missing;
  if (process.getuid?.() !== 0) return "systemd-resolved has to be started by root";
  try {
    const known = ["/usr/lib/systemd/systemd-resolved", join(cache, "lib/systemd/systemd-resolved")];
    const program = known.find((path) => existsSync(path)) ?? (await unpacked());
    const { stdout } = await run("sh", ["-c", `ls -d ${cache}/usr/lib/*/systemd 2> /dev/null || true`]);
    const libraries = stdout.trim();
    const env = { ...process.env, LD_LIBRARY_PATH: libraries };
    await run("unshare", ["--net", "--mount", "--pid", "--fork", program, "--version"], { env });
    return { program, libraries };
  } catch (error) {
    return `systemd-resolved cannot be had: ${(error as Error).message}`;
  }
}

const had = await resolved();
const skip = typeof had === "string" && had;

test("deploy/dns/systemd-resolved.conf leads our zones to us", { skip, timeout: 120_000 }, async (t) => {
  if (typeof had === "string") return;
  const dir = await mkdtemp(join(tmpdir(), "x2istio-resolved-"));
  t.after(() => rm(dir, { recursive: true }));
  const legacy = "orders.corp.example.com";
  const cases: readonly (readonly [name: string, want: RegExp, ...command: string[]])[] = [
    [
      "it is up",
      /^240\.241\.0\.7$/,
      "sh",
      "-c",
      `until dig +short @127.0.0.53 ${legacy} | grep ^240; do sleep 0.1; done`,
    ],
    ["a host", /^240\.241\.0\.7$/, "dig", "+short", "@127.0.0.53", "OrDers.shop.vms.mesh.internal"],
    ["the C library", /^240\.241\.0\.7 +STREAM/, "getent", "ahostsv4", legacy],
    [
      "60 addresses",
      /^(240\.241\.3\.\d+\n){59}240\.241\.3\.\d+$/,
      "dig",
      "+short",
      "@127.0.0.53",
      "many.mesh.internal",
    ],
    ["a VIP", /^orders\.shop\.vms\.mesh\.internal\.$/, "dig", "+short", "@127.0.0.53", "-x", "240.241.0.7"],
    ["a name that there is not", /status: NXDOMAIN/, "dig", "@127.0.0.53", "nobody.mesh.internal"],
  ];
  const commands = cases.map(([name, , ...command]) => [name, ...command].join("\x1f"));
  const setup = ["sh", "-ec", SETUP, "sh", dir, recipe, had.program, process.execPath, inside, ...commands];
  const { stdout } = await run("unshare", ["--net", "--mount", "--pid", "--fork", "--kill-child", ...setup], {
    env: { ...process.env, LD_LIBRARY_PATH: had.libraries },
    timeout: 100_000,
  });
  const said = JSON.parse(stdout) as Readonly<Record<string, string>>;
  for (const [name, want] of cases) assert.match(said[name] ?? "", want, name);
});
