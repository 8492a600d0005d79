/** The live networks, decoded once, when a view first needs them. */

import { network } from "../engine/index.js";
import compiled from "../engine/products.wat";

let decoded = null;

/** The networks of the data file, ready to compute. */
export function liveNetworks(data) {
  decoded ??= data.networks.map((entry) => network(entry, compiled));
  return decoded;
}
