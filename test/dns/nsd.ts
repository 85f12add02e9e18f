import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListenAddress } from "../../src/dns/serve/options.ts";
import { freePorts } from "../e2e/cli.ts";
import { startChild } from "../servers/child.ts";
import { lacking } from "../servers/programs.ts";
import { askUdp } from "./sockets.ts";
import { query } from "./wire.ts";

/** Why a comparison with NSD is skipped; false where it is installed. */
export function withoutNsd(): string | false {
  return lacking("nsd");
}

/** Start NSD on a free port with one zone; it stops with the test. */
export async function startNsd(t: TestContext, zone: string, zoneFile: string): Promise<ListenAddress> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-nsd-"));
  const { dns: port } = await freePorts();
  const none = ["pidfile", "username", "chroot", "logfile", "database"].map((key) => `  ${key}: ""\n`).join("");
  const files = ["xfrdfile", "zonelistfile"].map((key) => `  ${key}: "${join(dir, key)}"\n`).join("");
  const server = `server:\n  server-count: 1\n  ip-address: 127.0.0.1@${port}\n  zonesdir: "${dir}"\n${none}${files}`;
  const more = "  minimal-responses: yes\n  hide-version: yes\n  round-robin: no\n  rrl-ratelimit: 0\n";
  await writeFile(
    join(dir, "nsd.conf"),
    `${server}${more}remote-control:\n  control-enable: no\nzone:\n  name: ${zone}\n  zonefile: zone\n`,
  );
  await writeFile(join(dir, "zone"), zoneFile);
  const child = await startChild("nsd", ["-d", "-c", join(dir, "nsd.conf")], join(dir, "out"));
  t.after(async () => {
    await child.stop();
    await rm(dir, { recursive: true });
  });
  const at = { address: "127.0.0.1", port };
  for (let tries = 0; tries < 100; tries++) {
    if (!child.isRunning()) throw new Error(`Cannot start NSD as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp(at, [query(zone, { type: 6 })], { waitMs: 200 });
    if (answer !== undefined && (answer.readUInt8(3) & 0xf) === 0) return at;
    await sleep(50);
  }
  throw new Error(`Cannot start NSD:\n${child.logTail()}`);
}
