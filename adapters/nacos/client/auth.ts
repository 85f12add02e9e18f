import { createHmac } from "node:crypto";
import { resolve } from "node:path";
import { fileFault, ReadError } from "../../../src/errors.ts";
import type { AdapterContext } from "../../context.ts";
import { fileText } from "../../file-text.ts";
import type { NacosOptions } from "../options.ts";
import type { Subject } from "./connection.ts";
import type { Login, Token } from "./http.ts";

/** How one registry introduces itself to Nacos. */
export interface NacosAuth {
  /** Headers of a request. @throws {ReadError} When there is no login. */
  headers(about: Subject, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /** For HTTP; `undefined` where nobody has to log in. */
  token(signal: AbortSignal): Promise<string | undefined>;
  /** The token was refused. @returns Whether it is worth trying again: another one is fetched then. */
  wasRefused(): boolean;
}

type Options = Pick<
  NacosOptions,
  "username" | "password" | "passwordFile" | "accessKey" | "secretKey" | "secretKeyFile"
>;

/** A token is given back for a new one after this share of its life. */
const RENEW_AFTER = 0.8;
/** A token as young as this is not refused because it has ended. */
const YOUNG_MS = 2000;

/** @param login asks the server that is used now */
export function nacosAuth(
  options: Options,
  { dir, secrets }: Pick<AdapterContext, "dir" | "secrets">,
  login: (form: Login, signal: AbortSignal) => Promise<Token>,
  nowMs: () => number,
): NacosAuth {
  const { username, password, passwordFile, accessKey, secretKey, secretKeyFile } = options;
  let held: { readonly token: Token; readonly sinceMs: number } | undefined;
  let running: Promise<Token> | undefined;

  async function secret(text: string | undefined, file: string | undefined): Promise<string> {
    const found = text ?? (await secretIn(dir, file ?? ""));
    secrets.add(found);
    return found;
  }

  async function renewed(signal: AbortSignal): Promise<Token> {
    const token = await login({ username: username ?? "", password: await secret(password, passwordFile) }, signal);
    secrets.add(token.text);
    held = { token, sinceMs: nowMs() };
    return token;
  }

  async function token(signal: AbortSignal): Promise<string | undefined> {
    if (username === undefined) return undefined;
    const isFresh = held !== undefined && nowMs() - held.sinceMs < held.token.ttlMs * RENEW_AFTER;
    if (held !== undefined && isFresh) return held.token.text;
    // One login at a time; who waits for another's begins its own if that one was told to stop.
    while (running !== undefined) {
      const other = await running.catch(() => undefined);
      signal.throwIfAborted();
      if (other !== undefined) return other.text;
    }
    running = renewed(signal);
    try {
      return (await running).text;
    } finally {
      running = undefined;
    }
  }

  return {
    token,
    async headers({ group = "", service = "" }, signal) {
      const accessToken = await token(signal);
      if (accessToken !== undefined) return { accessToken };
      if (accessKey === undefined) return {};
      return signed(accessKey, await secret(secretKey, secretKeyFile), group === "" ? service : `${group}@@${service}`);
    },
    wasRefused() {
      if (held === undefined || nowMs() - held.sinceMs < YOUNG_MS) return false;
      held = undefined;
      return true;
    },
  };
}

async function secretIn(dir: string, file: string): Promise<string> {
  try {
    return (await fileText(resolve(dir, file), undefined)).text.replace(/\r?\n$/, "");
  } catch (cause) {
    throw new ReadError("denied", `Cannot read ${file}: ${fileFault(cause)}`);
  }
}

/** The signature that clouds want: com.alibaba.nacos.client.auth.ram.injector.NamingResourceInjector. @param atMs since the epoch */
export function signed(
  accessKey: string,
  secretKey: string,
  about: string,
  atMs = Date.now(),
): Readonly<Record<string, string>> {
  const data = about === "" ? `${atMs}` : `${atMs}@@${about}`;
  return { ak: accessKey, data, signature: createHmac("sha1", secretKey).update(data).digest("base64") };
}
