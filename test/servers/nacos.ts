import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureServers, noServers } from "./build.ts";
import { type Child, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";

/** The servers that {@link startNacos} starts: 3.1 and 2.3. */
export const nacosServers = ["nacos", "nacos-2"] as const;
export type NacosVersion = (typeof nacosServers)[number];

/** An instance to register by HTTP. What is left out is as Nacos has it by default. */
export interface NacosInstance {
  readonly serviceName: string;
  readonly ip: string;
  readonly port?: number;
  readonly groupName?: string;
  readonly namespaceId?: string;
  readonly clusterName?: string;
  readonly weight?: number;
  readonly healthy?: boolean;
  readonly enabled?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A Nacos server alone, whose instances are registered as persistent ones, which no client has to keep. */
export interface Nacos {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  readonly pid: number;
  /** Also changes it. */
  register(instance: NacosInstance): Promise<void>;
  deregister(instance: NacosInstance): Promise<void>;
  /** Any request, with the token where there is one. @throws When it is refused. */
  ask(method: string, path: string, fields?: Readonly<Record<string, string>>): Promise<string>;
  /** Let {@link ask} have a token of now, where it needs one. */
  login(): Promise<void>;
  /** End it as a crash does. */
  kill(): Promise<void>;
  /** Start it again, with what it has written or without. */
  start(options?: { readonly forget?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

/** Busy machines take a minute to start a server of Java. */
const START_MS = 180_000;
/** Of the administrator, whom only servers with `auth` have, which is for 3.1. */
export const NACOS_ADMIN = { username: "nacos", password: "opensesame" } as const;

/**
 * Start a server in a folder of its own. Let `stop` end it.
 *
 * @throws When it is not available, or does not start.
 */
export async function startNacos(
  version: NacosVersion,
  { auth = false, options = [] }: { readonly auth?: boolean; readonly options?: readonly string[] } = {},
): Promise<Nacos> {
  const paths = await ensureServers(nacosServers);
  if (paths === undefined) throw new Error(`Cannot start ${version}: ${noServers}`);
  const built = paths[version];
  const dir = await mkdtemp(join(tmpdir(), "x2istio-nacos-"));
  const port = await freeNacosPort();
  const address = `http://127.0.0.1:${port}`;
  const isNew = version === "nacos";
  let child: Child | undefined;
  let token: string | undefined;

  async function start({ forget = false }: { readonly forget?: boolean } = {}): Promise<void> {
    if (forget) await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    await mkdir(join(dir, "conf"), { recursive: true });
    await cp(join(built, "application.properties"), join(dir, "conf/application.properties"));
    const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m"];
    const home = [
      `-Dnacos.standalone=true`,
      `-Dnacos.home=${dir}`,
      `-Duser.home=${dir}`,
      `-Dderby.stream.error.file=${dir}/derby.log`,
    ];
    const own = [
      `--spring.config.additional-location=file:${dir}/conf/`,
      `--${isNew ? "nacos.server.main.port" : "server.port"}=${port}`,
      ...(auth ? ["--nacos.core.auth.enabled=true", "--nacos.core.auth.admin.enabled=true"] : []),
    ];
    const jars = (await readFile(join(built, "classpath"), "utf8")).trim().split(":");
    const classes = ["-cp", [built, ...jars.map((jar) => join(built, jar))].join(":"), "Server"];
    child = await startChild("java", [...flags, ...home, ...classes, ...own, ...options], join(dir, "log"));
    const path = isNew ? "/nacos/v3/admin/core/state/readiness" : "/nacos/v1/ns/instance/list?serviceName=x";
    for (const endMs = performance.now() + START_MS; ; await sleep(100)) {
      const answer = await fetch(`${address}${path}`).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.ok || answer?.status === 403) break;
      if (performance.now() > endMs || !child.isRunning()) {
        const log = child.logTail();
        await child.stop();
        throw new Error(`Cannot start ${version}:\n${log}`);
      }
    }
    if (auth) await login();
  }

  async function login(): Promise<void> {
    token = undefined;
    const { password } = NACOS_ADMIN;
    await ask("POST", "/nacos/v3/auth/user/admin", { password }).catch(() => undefined); // is there after a restart
    const answer = await ask("POST", "/nacos/v3/auth/user/login", NACOS_ADMIN);
    token = (JSON.parse(answer) as { readonly accessToken: string }).accessToken;
  }

  async function ask(method: string, path: string, fields: Readonly<Record<string, string>> = {}): Promise<string> {
    const isForm = method === "POST" || method === "PUT";
    const query = new URLSearchParams(isForm ? {} : fields);
    if (token !== undefined) query.set("accessToken", token);
    const body = isForm ? new URLSearchParams(fields) : null;
    const answer = await fetch(`${address}${path}?${query}`, { method, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text;
  }

  const instances = isNew ? "/nacos/v3/client/ns/instance" : "/nacos/v2/ns/instance";
  const fieldsOf = ({ metadata, ...rest }: NacosInstance) =>
    Object.fromEntries(
      Object.entries({
        ...{ port: 8080, namespaceId: "public", groupName: "DEFAULT_GROUP", clusterName: "DEFAULT", ephemeral: false },
        ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }),
        ...rest,
      }).map(([key, value]) => [key, String(value)]),
    );

  await start();
  return {
    address,
    get pid() {
      return child?.pid ?? 0;
    },
    register: async (instance) => void (await ask("POST", instances, fieldsOf(instance))),
    deregister: async (instance) => void (await ask("DELETE", instances, fieldsOf(instance))),
    ask,
    login,
    kill: async () => child?.stop(0),
    start,
    async stop() {
      await child?.stop(0);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** The server also takes the numbers 1000 below it, and 1000 and 1001 above. */
async function freeNacosPort(): Promise<number> {
  return (await freePort()) + 1000;
}
