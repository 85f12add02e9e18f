import { resolve } from "node:path";
import { fileFault, ReadError } from "../src/errors.ts";
import type { AdapterContext } from "./context.ts";
import { type FileText, fileText } from "./file-text.ts";

/** How to introduce oneself to a registry over HTTP, as it stands in the files now. */
export interface Credentials {
  /** Request headers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly servername?: string };
  /** Differs when a TLS file does: connections made before are then outdated. */
  readonly tlsVersion: string;
}

/** What an operator configures; files are relative to the configuration's folder. */
export interface CredentialOptions {
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** The token's request header. */
  readonly tokenHeader?: string;
  readonly basicAuth?:
    | { readonly username: string; readonly password?: string | undefined; readonly passwordFile?: string | undefined }
    | undefined;
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
        readonly serverName?: string | undefined;
      }
    | undefined;
}

/** Give the credentials of the options; files are read again when they have changed. */
export function credentials(
  options: CredentialOptions,
  { dir, secrets }: Pick<AdapterContext, "dir" | "secrets">,
): () => Promise<Credentials> {
  const { token, tokenFile, tokenHeader = "authorization", basicAuth, tls = {} } = options;
  const files = fileReader(dir);
  return async () => {
    const secret = token ?? (tokenFile === undefined ? undefined : (await files.read(tokenFile)).text.trim());
    const headers: Record<string, string> = {};
    secrets.add(secret);
    if (secret !== undefined && secret !== "") headers[tokenHeader] = secret;
    if (basicAuth !== undefined) {
      const { username, password, passwordFile = "" } = basicAuth;
      const pass = password ?? (await files.read(passwordFile)).text.replace(/\r?\n$/, "");
      secrets.add(pass);
      secrets.add(`${username}:${pass}`);
      headers.authorization = `Basic ${Buffer.from(`${username}:${pass}`).toString("base64")}`;
    }
    const pem: Record<string, string> = {};
    const versions: string[] = [];
    for (const name of ["ca", "cert", "key"] as const) {
      const path = tls[name];
      if (path === undefined) continue;
      const { text, stamp } = await files.read(path);
      pem[name] = text;
      versions.push(stamp);
    }
    if (tls.serverName !== undefined) pem.servername = tls.serverName;
    return { headers, tls: pem, tlsVersion: versions.join(" ") };
  };
}

function fileReader(dir: string) {
  const kept = new Map<string, FileText>();
  async function read(path: string): Promise<FileText> {
    try {
      const now = await fileText(resolve(dir, path), kept.get(path));
      kept.set(path, now);
      return now;
    } catch (cause) {
      throw new ReadError("denied", `Cannot read ${path}: ${fileFault(cause)}`);
    }
  }
  return { read };
}
