import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request as httpRequest } from "undici";
import { ensureServers, noServers } from "./build.ts";
import { onDeathOfThisProcess } from "./child.ts";
import { type Agents, createAgents } from "./consul-agents.ts";
import { type ConsulCatalog, consulCatalog } from "./consul-catalog.ts";
import { type AgentConfig, type ConsulPorts, type ConsulTls, makeConsulTls } from "./consul-files.ts";
import { until } from "./kube-admin.ts";

/** Names that {@link startConsul} needs of `ensureServers`. */
export const consulServers = ["consul"] as const;

/** Options of {@link startConsul}. */
export interface ConsulOptions {
  /** Default dc1. */
  readonly datacenter?: string;
  /** Data outlives `restart`; without it all is in memory, which starts in 0.3 s instead of 2. */
  readonly persistent?: boolean;
  /** Nobody may do anything without a token. */
  readonly acl?: boolean;
  /** Serve HTTPS too; "mutual" wants a client certificate there. */
  readonly tls?: "server" | "mutual";
  /** Listen on a unix socket too. */
  readonly unixSocket?: boolean;
  /** May be joined by servers of other datacenters, or joins that one. */
  readonly wan?: true | Consul;
  /** Have a second server, without which this one has no leader; takes two seconds more. */
  readonly peer?: boolean;
  /**
   * Further fields of the agent's configuration, of `ports` those beside its own: `{limits: {http_max_conns_per_client: 10}}`, of which the methods
   * of {@link Consul} need one, and 16 to register more than one instance at once.
   */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Answer of Consul; JSON is parsed, all else is a string. */
export interface ConsulResponse<Body> {
  readonly status: number;
  readonly body: Body;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A token and what it takes to revoke it. */
export interface ConsulToken {
  readonly accessor: string;
  readonly secret: string;
}

/** The second server, without which the first has no majority. */
export interface ConsulPeer {
  /** End it as a crash does, and wait until there is no leader. */
  kill(): Promise<void>;
  /** Start it again, and wait until there is a leader. */
  start(): Promise<void>;
}

/** A Consul server, alone in its datacenter. It holds one service, `consul`, of its own. */
export interface Consul extends ConsulCatalog {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  /** `https://127.0.0.1:<port>`, if started with `tls`. */
  readonly httpsAddress: string;
  /** `unix://<path>`, if started with `unixSocket`. */
  readonly unixAddress: string;
  readonly datacenter: string;
  readonly ports: ConsulPorts;
  /** Of the server; another one after `restart`. */
  pid(): number;
  /** Only if started with `tls`. */
  readonly tls: ConsulTls | undefined;
  /** Only if started with `peer`. */
  readonly peer: ConsulPeer | undefined;
  /** With all rights, if started with `acl`; all methods send it. */
  readonly managementToken: string | undefined;
  /**
   * Send a request; a body that is a string or bytes goes out as it is. An error status is an answer like any other.
   *
   * @throws When no answer comes.
   */
  request<Body = unknown>(
    method: string,
    path: string,
    body?: unknown,
    options?: { readonly token?: string },
  ): Promise<ConsulResponse<Body>>;
  /** Make a token whose rights are `rules`: `service_prefix "web" { policy = "read" }`. */
  createToken(rules: string): Promise<ConsulToken>;
  /** Its next use is answered 403 "ACL not found". */
  revokeToken(token: ConsulToken): Promise<void>;
  /** All that Consul holds. */
  snapshot(): Promise<Buffer>;
  /** Go back to a snapshot; indexes go back with it. */
  restore(snapshot: Buffer): Promise<void>;
  /** End the server, await `whileDown`, and start it again on the same ports. Data stays only if `persistent`. */
  restart(signal?: "SIGTERM" | "SIGKILL", whileDown?: () => Promise<void>): Promise<void>;
  /** End all processes and remove all files; a second call does nothing. */
  stop(): Promise<void>;
}

/**
 * Start a Consul server. Any number may run side by side. It ends with `stop`, or with this process, however it ends.
 *
 * A server without leader answers 500 after 0.2 s, not after 7 s as is Consul's default.
 *
 * @throws When Consul is not available or does not become ready.
 */
export async function startConsul(options: ConsulOptions = {}): Promise<Consul> {
  const paths = await ensureServers(consulServers);
  if (paths === undefined) throw new Error(`Cannot start consul: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-consul-"));
  const guard = onDeathOfThisProcess('sleep 1; rm -rf "$1"', dir);
  const agents = createAgents(paths.consul, dir);
  const cleanUp = async () => {
    await agents.stopAll();
    guard.kill("SIGKILL");
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    return await assemble(paths.consul, dir, options, agents, cleanUp);
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

/** undici would wait for five minutes; a restore alone may take one. */
const ANSWER_MS = 20_000;
const RESTORE_MS = 90_000;

// A new leader answers other reads than consistent ones while it still catches up with its own log.
const SERVICES = "/v1/catalog/services?consistent";

async function assemble(
  binary: string,
  dir: string,
  options: ConsulOptions,
  agents: Agents,
  cleanUp: () => Promise<void>,
): Promise<Consul> {
  const { datacenter = "dc1", persistent = false, peer: isPair = false } = options;
  const tls = options.tls === undefined ? undefined : await makeConsulTls(binary, dir, datacenter);
  const managementToken = options.acl === true ? randomUUID() : undefined;
  const unixSocket = join(dir, "http.sock");
  const shared = { datacenter, ...(managementToken !== undefined && { managementToken }) };
  const main = (ports: ConsulPorts): AgentConfig => ({
    ...shared,
    ports,
    node: "server",
    ...((persistent || isPair) && { dataDir: join(dir, "data"), bootstrapExpect: isPair ? 2 : 1 }),
    ...(options.wan !== undefined && { wan: options.wan === true ? true : options.wan.ports }),
    ...(options.unixSocket === true && { unixSocket }),
    ...(tls !== undefined && { tls: { files: tls, mutual: options.tls === "mutual" } }),
    ...(options.config !== undefined && { extra: options.config }),
  });
  const ports = await agents.startAnywhere(main);
  const peer = (free: ConsulPorts): AgentConfig => ({
    ...shared,
    ports: free,
    node: "peer",
    dataDir: join(dir, "peer-data"),
    bootstrapExpect: 2,
    join: ports,
  });
  const peerPorts = isPair ? await agents.startAnywhere(peer) : undefined;
  const address = `http://127.0.0.1:${ports.http}`;
  const client = createClient(address, managementToken);
  const must = async <Body>(...[method, path, body]: Parameters<Consul["request"]>) => {
    const answer = await client.request<Body>(method, path, body);
    if (answer.status === 200) return answer.body;
    throw new Error(`Cannot ${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };
  // Reading wants a leader, and the server's own node is in the catalog only once it has registered itself.
  const ready = () =>
    agents.unlessEnded(
      "server",
      "is ready",
      async () => (await must<Record<string, unknown>>("GET", SERVICES)).consul !== undefined,
    );
  await ready();
  let stopped: Promise<void> | undefined;
  return {
    ...consulCatalog(client.request),
    address,
    httpsAddress: `https://127.0.0.1:${ports.https}`,
    unixAddress: `unix://${unixSocket}`,
    datacenter,
    ports,
    pid: () => agents.pid("server"),
    tls,
    peer: peerPorts && {
      async kill() {
        await agents.end("peer", "SIGKILL");
        await until(
          "consul has no leader",
          async () => (await client.request("GET", SERVICES)).body === "No cluster leader",
        );
      },
      async start() {
        await agents.start(peer(peerPorts));
        await ready();
      },
    },
    managementToken,
    request: client.request,
    async createToken(rules) {
      const Name = randomUUID();
      await must("PUT", "/v1/acl/policy", { Name, Rules: rules });
      const token = await must<{ readonly AccessorID: string; readonly SecretID: string }>("PUT", "/v1/acl/token", {
        Policies: [{ Name }],
      });
      return { accessor: token.AccessorID, secret: token.SecretID };
    },
    revokeToken: async ({ accessor }) => void (await must("DELETE", `/v1/acl/token/${accessor}`)),
    snapshot: () => client.download("/v1/snapshot"),
    restore: async (snapshot) => void (await must("PUT", "/v1/snapshot", snapshot)),
    async restart(signal = "SIGTERM", whileDown = async () => {}) {
      await agents.end("server", signal);
      await whileDown();
      await agents.start(main(ports));
      await ready();
    },
    stop() {
      stopped ??= client.close().then(cleanUp);
      return stopped;
    },
  };
}

function createClient(address: string, managementToken: string | undefined) {
  const agent = new Agent({ connections: 32 });
  const send = (method: string, path: string, body?: unknown, token = managementToken) => {
    const limitMs = Buffer.isBuffer(body) ? RESTORE_MS : ANSWER_MS;
    return httpRequest(new URL(path, address), {
      headersTimeout: limitMs,
      bodyTimeout: limitMs,
      method: method as "GET", // the type lists methods; any is meant
      headers: token === undefined ? {} : { "x-consul-token": token },
      body:
        body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? (body ?? null) : JSON.stringify(body),
      dispatcher: agent,
    }).catch((cause) => {
      throw new Error(`Cannot ${method} ${path}: no answer came`, { cause });
    });
  };
  return {
    async request<Body>(method: string, path: string, body?: unknown, options: { readonly token?: string } = {}) {
      const { statusCode, headers, body: answer } = await send(method, path, body, options.token);
      const text = await answer.text();
      const isJson = String(headers["content-type"]).startsWith("application/json");
      return { status: statusCode, headers, body: (isJson ? JSON.parse(text) : text) as Body };
    },
    async download(path: string): Promise<Buffer> {
      const { statusCode, body } = await send("GET", path);
      if (statusCode !== 200) throw new Error(`Cannot GET ${path}: ${statusCode} ${await body.text()}`);
      return Buffer.from(await body.arrayBuffer());
    },
    close: () => agent.destroy(),
  };
}
