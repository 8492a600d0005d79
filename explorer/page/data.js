/** The data files that were loaded as scripts before this one, or sentences on what is wrong with them. */

export const VERSION = 2; // as in bioadv/pages/explorer_data.py

/** {results, networks, problems}: what is missing or of another version is null, and a sentence says so. */
export function load(found = globalThis.bioadvData ?? {}) {
  const problems = [];
  const checked = (name, what) => {
    const content = found[name];
    if (!content) {
      problems.push(`The file ${name}.js was not found beside this page, so ${what} cannot be shown. Copy the whole folder of the book.`);
      return null;
    }
    if (content.version !== VERSION) {
      problems.push(
        `The file ${name}.js has version ${content.version}, this page needs version ${VERSION}, so ${what} cannot be shown. Take both from the same copy of the book.`,
      );
      return null;
    }
    return content;
  };
  const results = checked("results", "the spectra, the stored planes and the ledger");
  const networks = checked("networks", "the live networks");
  return { results, networks, problems };
}
