import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { tempDir } from "../e2e/fixture.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers } from "../servers/consul.ts";
import { makeConsulTls } from "../servers/consul-files.ts";
import type { Backend } from "./backends.ts";
import { SDS } from "./envoy.ts";
import { buffers, decode, encode, textOf } from "./protobuf.ts";

/** What every workload of a mesh has, as PEM: certificates are good for any of them. */
export interface Certificates {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Make an authority of one test's own, with a certificate. */
export async function makeCertificates(t: TestContext): Promise<Certificates> {
  const paths = await ensureServers(consulServers);
  if (paths === undefined) throw new Error(`Cannot make certificates: ${noServers}`);
  const dir = join(await tempDir(t), "certificates");
  await mkdir(dir);
  const { ca, cert, key } = await makeConsulTls(paths.consul, dir, "mesh");
  return { ca: await readFile(ca), cert: await readFile(cert), key: await readFile(key) };
}

const SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** Hand certificates to sidecars as their agents do (envoy.service.secret.v3), until the end of the test. */
export async function serveCertificates(t: TestContext, { ca, cert, key }: Certificates): Promise<void> {
  const inline = (bytes: Buffer) => encode([[2, bytes]]); // DataSource
  const contents: Readonly<Record<string, readonly [number, Buffer]>> = {
    default: [
      2, // tls_certificate
      encode([
        [1, inline(cert)],
        [2, inline(key)],
      ]),
    ],
    ROOTCA: [4, encode([[1, inline(ca)]])], // validation_context
  };
  const answer = (name: string) => {
    const secret = encode([[1, name], ...(contents[name] === undefined ? [] : [contents[name]])]);
    const any = encode([
      [1, SECRET],
      [2, secret],
    ]);
    return encode([
      [1, "1"],
      [2, any],
      [4, SECRET],
      [5, "1"],
    ]);
  };
  const same = (bytes: Buffer) => bytes;
  const method = {
    path: "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const server = new Server();
  server.addService(
    { StreamSecrets: method },
    {
      StreamSecrets(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on("error", () => {}); // its end
        call.on("data", (bytes: Buffer) => {
          const request = decode(bytes);
          if (textOf(request, 5) !== "") return; // it has taken the answer
          for (const name of buffers(request, 3)) call.write(answer(name.toString()));
        });
      },
    },
  );
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`${SDS.address}:${SDS.port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  t.after(() => server.forceShutdown());
}

/** Start an HTTP server outside the cluster that has a sidecar: who has no certificate of the mesh is turned away. */
export async function startMutualBackend(
  t: TestContext,
  { who, address, port }: Omit<Backend, "protocol">,
  { ca, cert, key }: Certificates,
): Promise<void> {
  const tls = { ca, cert, key, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["istio"] };
  const options = { ...tls, keepAliveTimeout: 0 }; // as in startBackend
  const server = createServer(options, (_, response) => void response.end(who));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address, port }, resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
}
