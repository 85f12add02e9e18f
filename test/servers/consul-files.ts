import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Ports of one agent on 127.0.0.1. */
export interface ConsulPorts {
  readonly http: number;
  readonly https: number;
  readonly serfLan: number;
  readonly serfWan: number;
  readonly server: number;
}

/** PEM files of a throw-away authority, and what it signed. */
export interface ConsulTls {
  readonly ca: string;
  /** Of the server; its certificate is good for 127.0.0.1, localhost and server.<datacenter>.consul. */
  readonly serverCert: string;
  readonly serverKey: string;
  /** Of a client that `tls: "mutual"` lets in. */
  readonly cert: string;
  readonly key: string;
}

/** Five ports that nobody listens on now, below those that the system gives to outgoing connections: a restart finds them free. */
export async function freeConsulPorts(): Promise<ConsulPorts> {
  const ports = new Set<number>();
  while (ports.size < 5) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) ports.add(port);
  }
  const [http = 0, https = 0, serfLan = 0, serfWan = 0, server = 0] = ports;
  return { http, https, serfLan, serfWan, server };
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** What an agent's configuration file has to say. */
export interface AgentConfig {
  readonly node: string;
  readonly datacenter: string;
  readonly ports: ConsulPorts;
  /** Where its data stays; without it the agent must run with -dev. */
  readonly dataDir?: string;
  /** How many servers choose the first leader among them; not with -dev, which is alone. */
  readonly bootstrapExpect?: number;
  /** Ports of an agent to join. */
  readonly join?: ConsulPorts;
  /** Whether it may be joined over the WAN, and whom to join there. */
  readonly wan?: ConsulPorts | true;
  readonly unixSocket?: string;
  /** With ACLs: a token with all rights. */
  readonly managementToken?: string;
  readonly tls?: { readonly files: ConsulTls; readonly mutual: boolean };
  /** Merged over the rest, at the top level. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** The file's content. All timings are the shortest that Consul takes, so that an outage of a test is a short one. */
export function agentConfig(config: AgentConfig): Record<string, unknown> {
  const { ports, wan, tls, managementToken: token } = config;
  const at = (port: number) => `127.0.0.1:${port}`;
  const { ports: furtherPorts, ...extra } = config.extra ?? {};
  return {
    datacenter: config.datacenter,
    node_name: config.node,
    server: true,
    ...(config.bootstrapExpect !== undefined && { bootstrap_expect: config.bootstrapExpect }),
    ...(config.dataDir !== undefined && { data_dir: config.dataDir }),
    bind_addr: "127.0.0.1",
    client_addr: "127.0.0.1",
    ...(config.unixSocket !== undefined && { addresses: { http: `127.0.0.1 unix://${config.unixSocket}` } }),
    ports: {
      http: ports.http,
      https: tls === undefined ? -1 : ports.https,
      dns: -1,
      grpc: -1,
      serf_lan: ports.serfLan,
      serf_wan: wan === undefined ? -1 : ports.serfWan,
      server: ports.server,
      ...(furtherPorts as object | undefined),
    },
    ...(config.join !== undefined && { retry_join: [at(config.join.serfLan)], retry_interval: "100ms" }),
    ...(typeof wan === "object" && { retry_join_wan: [at(wan.serfWan)], retry_interval_wan: "100ms" }),
    ...(token !== undefined && {
      acl: { enabled: true, default_policy: "deny", tokens: { initial_management: token, agent: token } },
    }),
    ...(tls !== undefined && {
      tls: {
        https: {
          ca_file: tls.files.ca,
          cert_file: tls.files.serverCert,
          key_file: tls.files.serverKey,
          verify_incoming: tls.mutual,
        },
      },
    }),
    performance: { raft_multiplier: 1, rpc_hold_timeout: "200ms" },
    autopilot: { server_stabilization_time: "100ms" },
    log_level: "warn",
    disable_update_check: true,
    ...extra,
  };
}

/** Make a new authority below `dir`, with a server's and a client's certificate. */
export async function makeConsulTls(consul: string, dir: string, datacenter: string): Promise<ConsulTls> {
  const cwd = join(dir, "tls");
  await mkdir(cwd);
  const tls = (...args: readonly string[]) => run(consul, ["tls", ...args], { cwd });
  await tls("ca", "create");
  await tls("cert", "create", "-server", "-dc", datacenter, "-additional-ipaddress", "127.0.0.1");
  await tls("cert", "create", "-client", "-dc", datacenter);
  return {
    ca: join(cwd, "consul-agent-ca.pem"),
    serverCert: join(cwd, `${datacenter}-server-consul-0.pem`),
    serverKey: join(cwd, `${datacenter}-server-consul-0-key.pem`),
    cert: join(cwd, `${datacenter}-client-consul-0.pem`),
    key: join(cwd, `${datacenter}-client-consul-0-key.pem`),
  };
}
