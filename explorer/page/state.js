/**
 * The state of a view lives in the address, `#view?name=value&...`, so that a view can be shared and linked to.
 * Each view declares what it holds: by name a default and the choices, or a check for free values.
 */

/** {view, values} of an address's hash. */
export function parse(hash) {
  const [view, query = ""] = hash.replace(/^#/, "").split("?");
  return { view, values: Object.fromEntries(new URLSearchParams(query)) };
}

/** The hash of a view and its values; those at their default are left out. */
export function format(view, values, defaults) {
  const query = Object.entries(values).filter(([name, value]) => value !== "" && String(value) !== String(defaults[name]));
  return `#${view}${query.length ? "?" : ""}${query.map(([name, value]) => `${name}=${value}`).join("&")}`;
}

/** Values from an address over the defaults. What a view cannot be is told: [values, complaints]. */
export function settle(given, fields) {
  const values = {};
  const complaints = [];
  for (const [name, field] of Object.entries(fields)) {
    values[name] = field.default;
    if (!(name in given)) continue;
    const value = field.read ? field.read(given[name]) : given[name];
    if (value === undefined || (field.choices && !field.choices.includes(value))) {
      complaints.push(`“${name}=${given[name]}” in the address is not known here; it was left out.`);
    } else {
      values[name] = value;
    }
  }
  for (const name of Object.keys(given)) {
    if (!(name in fields)) complaints.push(`“${name}” in the address is not known here; it was left out.`);
  }
  return [values, complaints];
}

/** Reads a list of known names, such as kh,bp. */
export const list = (known) => (text) => {
  const names = text.split(",").filter(Boolean);
  return names.length && names.every((name) => known.includes(name)) ? names : undefined;
};

/** Reads a whole number within bounds. */
export const whole = (low, high) => (text) => {
  const value = Number(text);
  return Number.isInteger(value) && value >= low && value <= high ? value : undefined;
};

/** Reads a number within bounds. */
export const number = (low, high) => (text) => {
  const value = Number(text);
  return text !== "" && value >= low && value <= high ? value : undefined;
};
