import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListenAddress } from "../../src/dns/serve/options.ts";
import { freePorts } from "../e2e/cli.ts";
import { startChild } from "../servers/child.ts";
import { askUdp } from "./sockets.ts";
import { query } from "./wire.ts";

/** Start CoreDNS, the program at `coredns`, on a free port with one zone of its plugin `file`; it stops with the test. */
export async function startCoredns(
  t: TestContext,
  coredns: string,
  { zone, zoneFile, plugins = "" }: { readonly zone: string; readonly zoneFile: string; readonly plugins?: string },
): Promise<ListenAddress> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-coredns-"));
  const { dns: port } = await freePorts();
  await writeFile(join(dir, "zone"), zoneFile);
  const corefile = `.:${port} {\nbind 127.0.0.1\n${plugins}\nfile ${join(dir, "zone")} ${zone} {\nreload 0\n}\n}\n`;
  await writeFile(join(dir, "Corefile"), corefile);
  const child = await startChild(coredns, ["-conf", join(dir, "Corefile")], join(dir, "out"));
  t.after(async () => {
    await child.stop();
    await rm(dir, { recursive: true });
  });
  const at = { address: "127.0.0.1", port };
  for (let tries = 0; tries < 100; tries++) {
    if (!child.isRunning()) throw new Error(`Cannot start CoreDNS as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp(at, [query(zone, { type: 6 })], { waitMs: 200 });
    if (answer !== undefined && (answer.readUInt8(3) & 0xf) === 0) return at;
    await sleep(50);
  }
  throw new Error(`Cannot start CoreDNS:\n${child.logTail()}`);
}
