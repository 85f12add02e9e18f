import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { describeError } from "../errors.ts";

/** Files in PEM. */
export interface TlsFiles {
  /** The certificate, followed by those that lead to its issuer. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate and its key, as text. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Told of certificates. */
export interface TlsHooks {
  /** A certificate is in use from now on, until `expiresMs` since the epoch. */
  readonly onUse: (expiresMs: number) => void;
  /** What stands in the files cannot be used; the last certificate stays. Told once for each reason. */
  readonly onError: (error: unknown) => void;
  /** How often the files are read; 5 s if left out. */
  readonly checkMs?: number;
}

/** Certificates of a server, as they are replaced. */
export interface ServerTls {
  readonly first: TlsPair;
  /** Give each later pair to `use`, until what is returned is called. */
  follow(use: (pair: TlsPair) => void): () => void;
}

const CHECK_MS = 5000;

/**
 * Read a certificate, and read it again whenever it is replaced. Of two files one may be replaced first: only what is still wrong
 * at the next look is an error.
 *
 * @throws When it cannot be used; the message names the file.
 */
export async function openTls(files: TlsFiles, { onUse, onError, checkMs = CHECK_MS }: TlsHooks): Promise<ServerTls> {
  let inUse = await read(files);
  onUse(inUse.expiresMs);
  let wrong: string | undefined;
  let isTold = false;

  async function check(use: (pair: TlsPair) => void): Promise<void> {
    try {
      const next = await read(files);
      wrong = undefined;
      if (next.id === inUse.id) return;
      use(next);
      inUse = next;
      onUse(next.expiresMs);
    } catch (error) {
      const again = describeError(error) === wrong;
      if (again && !isTold) onError(error);
      isTold = again;
      wrong = describeError(error);
    }
  }

  return {
    first: inUse,
    follow(use) {
      let checking = false;
      const timer = setInterval(() => {
        if (checking) return;
        checking = true;
        void check(use).finally(() => {
          checking = false;
        });
      }, checkMs);
      timer.unref();
      return () => clearInterval(timer);
    },
  };
}

interface ReadPair extends TlsPair {
  /** Tells this pair from any other. */
  readonly id: string;
  readonly expiresMs: number;
}

async function read({ certFile, keyFile }: TlsFiles): Promise<ReadPair> {
  const [cert, key] = await Promise.all([textOf(certFile, "certificate"), textOf(keyFile, "key")]);
  try {
    const leaf = new X509Certificate(cert);
    if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error("the key is of another certificate");
    createSecureContext({ cert, key });
    const expiresMs = Date.parse(leaf.validTo);
    return { cert, key, expiresMs, id: createHash("sha256").update(`${cert}\0${key}`).digest("hex") };
  } catch (cause) {
    throw new Error(`Cannot serve HTTPS by the certificate ${certFile} with the key ${keyFile}`, { cause });
  }
}

async function textOf(file: string, what: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: unknown) => {
    throw new Error(`Cannot read the ${what} ${file} of http.tls`, { cause });
  });
}
