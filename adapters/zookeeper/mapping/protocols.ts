import { protocolOf } from "../../../src/istio/limits.ts";
import { portNameOf, statedProtocol } from "../../shapes/protocol.ts";
import { shorten } from "../../text.ts";

/** Protocols of Dubbo (dubbo-rpc-*, dubbo-spi-extensions), by what Istio or Aeraki make of them. */
const DUBBO: Readonly<Record<string, string>> = {
  ...{ tri: "GRPC", grpc: "GRPC", rest: "HTTP", http: "HTTP", jsonrpc: "HTTP", hessian: "HTTP", webservice: "HTTP" },
  "native-thrift": "metaprotocol-thrift",
};

/** A port as its registrant calls it. */
export interface NamedProtocol {
  /** A DNS label. */
  readonly name: string;
  /** As the model has it. */
  readonly istio: string;
}

/** The protocol of a provider's URL or of a Dubbo endpoint. What is inside TLS is TCP: nobody on the way can read it. */
export function dubboProtocol(scheme: string, isTls: boolean, notes: string[]): NamedProtocol {
  const name = portNameOf(scheme) ?? "tcp";
  if (isTls) notes.push(`protocol ${shorten(scheme)} with ssl-enabled is TCP in the mesh`);
  if (isTls) return { name, istio: "TCP" };
  const known = Object.hasOwn(DUBBO, scheme) ? DUBBO[scheme] : protocolOf(scheme);
  return { name, istio: known ?? statedProtocol(scheme, "", notes) ?? "TCP" };
}
