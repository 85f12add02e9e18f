import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureServers, noServers } from "./build.ts";
import { type Child, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";
import { openWriter, type Writer } from "./zookeeper-writer.ts";

/** What {@link startZooKeeper} needs. */
export const zooKeeperServers = ["zookeeper"] as const;

/** A ZooKeeper server, alone, whose ticks are short: sessions are over after 400 ms at least, and 4 s at most. */
export interface ZooKeeper {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  readonly port: number;
  /** A session that writes. It ends with the server's process, or before. */
  writer(sessionMs?: number): Promise<Writer>;
  /** Its answer to a word of four letters. */
  say(word: string): Promise<string>;
  pid(): number;
  /** End it as a crash does. */
  kill(): Promise<void>;
  /** Start it again, with what it knew before or without. */
  start(data?: "kept" | "lost"): Promise<void>;
  stop(): Promise<void>;
}

const START_MS = 120_000;

/**
 * Start a server in a folder of its own. Let `stop` end it.
 *
 * @param lines further lines of its configuration
 * @throws When it is not available, or does not start.
 */
export async function startZooKeeper(lines: readonly string[] = [], heap = "128m"): Promise<ZooKeeper> {
  const paths = await ensureServers(zooKeeperServers);
  if (paths === undefined) throw new Error(`Cannot start zookeeper: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-zookeeper-"));
  const port = await freePort();
  const settings = [`dataDir=${dir}/data`, "clientPortAddress=127.0.0.1", `clientPort=${port}`, "tickTime=200"];
  const open = ["maxClientCnxns=0", "admin.enableServer=false", "4lw.commands.whitelist=*"];
  await writeFile(join(dir, "zoo.cfg"), [...settings, ...open, ...lines, ""].join("\n"));
  let child: Child | undefined;

  async function start(data: "kept" | "lost" = "kept"): Promise<void> {
    if (data === "lost") await rm(join(dir, "data"), { recursive: true, force: true });
    const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", `-Xmx${heap}`, "-Dzookeeper.forceSync=no"];
    // A session that ends takes all its nodes with it in one record of the log.
    const own = ["-Djute.maxbuffer=16777216", "-cp", `${paths?.zookeeper}/lib/*`];
    const main = ["org.apache.zookeeper.server.quorum.QuorumPeerMain", join(dir, "zoo.cfg")];
    child = await startChild("java", [...flags, ...own, ...main], join(dir, "log"));
    for (const endMs = performance.now() + START_MS; ; await sleep(50)) {
      if ((await fourLetters(port, "srvr")).includes("Mode:")) return;
      if (performance.now() > endMs || !child.isRunning()) {
        const log = child.logTail();
        await child.stop();
        throw new Error(`Cannot start zookeeper:\n${log}`);
      }
    }
  }

  await start();
  return {
    address: `127.0.0.1:${port}`,
    port,
    writer: (sessionMs) => openWriter(port, sessionMs),
    say: (word) => fourLetters(port, word),
    pid: () => child?.pid ?? 0,
    kill: async () => child?.stop(0),
    start,
    async stop() {
      await child?.stop();
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** What the server says to one of its words of four letters; empty while it serves nobody. */
async function fourLetters(port: number, word: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.end(word);
    let said = "";
    for await (const piece of socket) said += piece;
    return said;
  } catch {
    return "";
  } finally {
    socket.destroy();
  }
}
