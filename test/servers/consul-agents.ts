import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { type Child, startChild } from "./child.ts";
import { type AgentConfig, agentConfig, type ConsulPorts, freeConsulPorts } from "./consul-files.ts";
import { until } from "./kube-admin.ts";

/** Processes of one installation, by the name of their node. */
export interface Agents {
  start(config: AgentConfig): Promise<void>;
  /** Start on free ports. Another process may take one between choice and use, hence some attempts. */
  startAnywhere(config: (ports: ConsulPorts) => AgentConfig): Promise<ConsulPorts>;
  end(node: string, signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  pid(node: string): number;
  /** Wait until `isTrue`; throws with the agent's log if the agent ends before. */
  unlessEnded(node: string, what: string, isTrue: () => Promise<boolean>): Promise<void>;
  stopAll(): Promise<void>;
}

/** @param dir Holds their configurations and logs. */
export function createAgents(binary: string, dir: string): Agents {
  const running = new Map<string, Child>();
  async function start(config: AgentConfig): Promise<void> {
    const file = join(dir, `${config.node}.json`);
    await writeFile(file, JSON.stringify(agentConfig(config)));
    const mode = config.dataDir === undefined ? ["-dev"] : [];
    running.set(
      config.node,
      await startChild(binary, ["agent", ...mode, "-config-file", file], join(dir, `${config.node}.out`)),
    );
  }
  async function unlessEnded(node: string, what: string, isTrue: () => Promise<boolean>): Promise<void> {
    const log = () => running.get(node)?.logTail();
    const ended = () => running.get(node)?.isRunning() !== true;
    try {
      await until(`consul's ${node} ${what}`, async () => ended() || (await isTrue()));
    } catch (cause) {
      throw new Error(`Cannot start consul:\n${log()}`, { cause });
    }
    if (ended()) throw new Error(`Cannot start consul as it ended:\n${log()}`);
  }
  return {
    start,
    unlessEnded,
    pid: (node) => running.get(node)?.pid ?? 0,
    async startAnywhere(config) {
      for (let attempt = 1; ; attempt++) {
        const ports = await freeConsulPorts();
        await start(config(ports));
        const { node } = config(ports);
        try {
          await unlessEnded(node, "listens", () => isListening(ports.http));
          return ports;
        } catch (error) {
          const isTaken = /address already in use/.test(running.get(node)?.logTail() ?? "");
          if (attempt === 4 || !isTaken) throw error;
        }
      }
    },
    async end(node, signal) {
      const child = running.get(node);
      if (child === undefined) return;
      if (signal === "SIGTERM") return child.stop();
      process.kill(child.pid, signal);
      await child.exited;
    },
    async stopAll() {
      for (const child of [...running.values()].reverse()) await child.stop();
    },
  };
}

async function isListening(port: number): Promise<boolean> {
  // Without keep-alive: a connection left open counts against http_max_conns_per_client.
  const { body } = await request(`http://127.0.0.1:${port}/v1/status/leader`, { reset: true, headersTimeout: 5000 });
  await body.dump();
  return true;
}
