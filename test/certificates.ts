import { execFile } from "node:child_process";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TlsFiles } from "../src/http/tls.ts";

/** Write a key and a certificate of its own, for `name` and this machine, in place of those that are there. It takes `openssl`. */
export async function writeCertificate(dir: string, name: string, days = 2): Promise<TlsFiles> {
  const [certFile, keyFile] = [join(dir, "tls.crt"), join(dir, "tls.key")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = `subjectAltName=DNS:${name},DNS:localhost,IP:127.0.0.1`;
  const files = ["-keyout", `${keyFile}~`, "-out", `${certFile}~`];
  const subject = ["-days", `${days}`, "-subj", `/CN=${name}`, "-addext", names];
  await promisify(execFile)("openssl", ["req", "-x509", ...curve, ...files, ...subject]);
  await rename(`${keyFile}~`, keyFile);
  await rename(`${certFile}~`, certFile);
  return { certFile, keyFile };
}
