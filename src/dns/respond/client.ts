import { clientNetwork } from "../../istio/addresses.ts";
import type { View } from "../answer/views.ts";
import type { Transport } from "../observe/hooks.ts";
import { type ClientSubnet, readClientSubnet } from "../wire/client-subnet.ts";
import type { Query } from "../wire/query.ts";
import type { RespondOptions } from "./options.ts";

/** Who asks. */
export interface Client {
  readonly address: string;
  readonly transport: Transport;
  /** Whether this question is in the sample of the query log. */
  readonly isLogged: boolean;
  readonly view: View | undefined;
  /** Where its own client is, if it is a trusted resolver that says so. */
  readonly subnet?: ClientSubnet;
}

/** A query and who asks. */
export interface Request {
  readonly query: Query;
  readonly client: Client;
}

/** A request that can be looked up. */
export interface Lookup extends Request {
  readonly query: Query & { readonly fault: undefined };
}

/** Who asks, with the view of its own client if it is a trusted resolver; undefined where what that says cannot be understood. */
export function clientOf(
  { isForwarder, viewOf }: Pick<RespondOptions, "isForwarder" | "viewOf">,
  { edns }: Query,
  from: Pick<Client, "address" | "transport" | "isLogged">,
): Client | undefined {
  const { address } = from;
  const data = edns?.clientSubnet;
  if (data === undefined || !isForwarder(address)) return { ...from, view: viewOf(address) };
  const subnet = readClientSubnet(data);
  return subnet && { ...from, subnet, view: viewOf(subnet.bits === 0 ? address : subnet.address) };
}

/** The client's view as metrics and logs name it. */
export function viewNameOf({ view }: Client): string {
  return view === undefined || view.answer === "vips" ? "mesh" : view.name;
}

/** What a client shares places as: its network, or that of its own client if it is a trusted resolver that says so. */
export function sharerOf({ address, subnet }: Client): string {
  return clientNetwork(subnet === undefined || subnet.bits === 0 ? address : subnet.address);
}
