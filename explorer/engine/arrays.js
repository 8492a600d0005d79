/** Arrays as bioadv/pages/explorer_data.py packs them: base64 of deflated bytes, bytes of equal significance together. */

import { unzlibSync } from "fflate";

const KINDS = { uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, float32: Float32Array, int64: BigInt64Array };

const sizeOf = ({ dtype, shape }) => shape.reduce((n, side) => n * side, /16$/.test(dtype) ? 2 : /32$/.test(dtype) ? 4 : /64$/.test(dtype) ? 8 : 1);

/** The typed array of a packed one. float16 becomes float32; an array on an even grid becomes float64. */
export function unpack(packed) {
  const text = atob(packed.data);
  const deflated = new Uint8Array(text.length); // plain loops here and below: the millions of weights are in no time
  for (let i = 0; i < text.length; i++) deflated[i] = text.charCodeAt(i);
  const bytes = unzlibSync(deflated, { out: new Uint8Array(sizeOf(packed)) });
  const half = packed.dtype === "float16";
  const Kind = half ? Uint16Array : KINDS[packed.dtype];
  if (!Kind) throw new Error(`the data hold an array of type ${packed.dtype}, which this page does not know`);
  const size = Kind.BYTES_PER_ELEMENT;
  const count = bytes.length / size;
  let values;
  if (size === 2) {
    values = new Kind(count);
    for (let i = 0; i < count; i++) values[i] = bytes[i] | (bytes[count + i] << 8);
  } else if (size === 1) {
    values = new Kind(bytes.buffer, bytes.byteOffset, count);
  } else {
    const together = new Uint8Array(bytes.length);
    for (let byte = 0; byte < size; byte++) {
      for (let i = 0; i < count; i++) together[i * size + byte] = bytes[byte * count + i];
    }
    values = new Kind(together.buffer);
  }
  if (half) return fromHalf(values);
  if (packed.differences) for (let i = 1; i < count; i++) values[i] += values[i - 1]; // wraps, as the type does
  return "step" in packed ? Float64Array.from(values, (level) => packed.low + packed.step * level) : values;
}

/** Numbers of half precision, given as their 16 bits, in single precision. */
export function fromHalf(bits) {
  const table = new Float32Array(64); // by sign and exponent: the value of one unit of the mantissa's last place
  for (let e = 0; e < 32; e++) {
    table[e] = 2 ** (Math.max(e, 1) - 25);
    table[32 + e] = -table[e];
  }
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i];
    values[i] = table[b >> 10] * ((b & 1023) + (b & 0x7c00 ? 1024 : 0));
  }
  return values;
}
