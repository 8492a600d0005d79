/**
 * Power laws lambda_n ~ n^-alpha in eigenspectra, as bioadv.measure.powerlaw has them: ordinary least squares of
 * ln lambda_n on ln n over the ranks first..last, both included, counted from 1.
 *
 * A spectrum is prepared once: running sums make a fit over any window a handful of additions.
 */

/** Prepare a spectrum from the natural logarithms of its positive eigenvalues, falling. */
export function prepare(logs) {
  const n = logs.length;
  const sums = { x: new Float64Array(n + 1), y: new Float64Array(n + 1) };
  const products = { xx: new Float64Array(n + 1), xy: new Float64Array(n + 1), yy: new Float64Array(n + 1) };
  let middle = 0;
  for (let i = 0; i < n; i++) middle += logs[i] / n;
  for (let i = 0; i < n; i++) {
    const x = Math.log(i + 1) - 6; // near zero keeps what differences lose small
    const y = logs[i] - middle;
    sums.x[i + 1] = sums.x[i] + x;
    sums.y[i + 1] = sums.y[i] + y;
    products.xx[i + 1] = products.xx[i] + x * x;
    products.xy[i + 1] = products.xy[i] + x * y;
    products.yy[i + 1] = products.yy[i] + y * y;
  }
  return { logs, middle, ...sums, ...products };
}

/** The fit over a window: {alpha, logScale, error, rSquared, first, last}; null where it holds under three ranks. */
export function fit(spectrum, first, last) {
  last = Math.min(last, spectrum.logs.length);
  first = Math.max(first, 1);
  const count = last - first + 1;
  if (!(count >= 3)) return null;
  const over = (sum) => sum[last] - sum[first - 1];
  const [sx, sy] = [over(spectrum.x), over(spectrum.y)];
  const sxx = over(spectrum.xx) - (sx * sx) / count;
  const sxy = over(spectrum.xy) - (sx * sy) / count;
  const syy = over(spectrum.yy) - (sy * sy) / count;
  const slope = sxy / sxx;
  const residual = Math.max(syy - slope * sxy, 0);
  return {
    alpha: -slope,
    logScale: spectrum.middle + sy / count - slope * (sx / count + 6),
    error: Math.sqrt(residual / Math.max(count - 2, 1) / sxx),
    rSquared: syy > 0 ? 1 - residual / syy : 1,
    first,
    last,
  };
}

/** The fitted ln lambda at rank n. */
export const line = (fitted, n) => fitted.logScale - fitted.alpha * Math.log(n);

/** The last rank up to which the spectrum stays within a factor of a fitted line, going up from its middle. */
export function reach(spectrum, fitted, factor = 2) {
  const middle = Math.round(Math.sqrt(fitted.first * fitted.last));
  for (let n = middle; n <= spectrum.logs.length; n++) {
    if (Math.abs(spectrum.logs[n - 1] - line(fitted, n)) > Math.log(factor)) return n - 1;
  }
  return Math.max(spectrum.logs.length, middle - 1);
}

/** The exponent of fits over the ranks n / ratio to n * ratio, at every rank that has such a window: [[n, alpha], ...]. */
export function localExponent(spectrum, ratio = 1.5) {
  const found = [];
  for (let n = 1; n <= spectrum.logs.length; n++) {
    const [first, last] = [Math.ceil(n / ratio), Math.floor(n * ratio)];
    if (last > spectrum.logs.length || last - first < 2) continue;
    found.push([n, fit(spectrum, first, last).alpha]);
  }
  return found;
}
