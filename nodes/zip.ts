import { once } from "node:events";
import { PassThrough, type Readable } from "node:stream";
import { promisify } from "node:util";
import yauzl, { type Entry } from "yauzl";

export type { Entry };

/** A zip file read entry by entry. */
export interface ZipFile {
  entries(): AsyncGenerator<Entry>;
  /** The entry's content, inflated. */
  read(entry: Entry): Promise<Readable>;
  /** Where in the file the entry's bytes begin, as they are stored. */
  dataStart(entry: Entry): Promise<number>;
  close(): void;
}

/** What yauzl has and its published types lack. */
interface WithLocalHeaders {
  readLocalFileHeader(
    entry: Entry,
    options: { readonly minimal: true },
    done: (error: Error | null, header: { readonly fileDataStart: number }) => void,
  ): void;
}

const open = promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open);

/** Opens a zip file. Rejects where it is none, or truncated. */
export async function openZip(path: string): Promise<ZipFile> {
  const zip = await open(path, { lazyEntries: true, autoClose: false });
  const openEntry = promisify<Entry, Readable>(zip.openReadStream.bind(zip));
  const low = zip as unknown as WithLocalHeaders;
  const localHeader = promisify(low.readLocalFileHeader.bind(zip));
  return {
    async *entries() {
      for (let left = zip.entryCount; left > 0; left--) {
        const arrived = once(zip, "entry") as Promise<[Entry]>;
        zip.readEntry();
        yield (await arrived)[0];
      }
    },
    async read(entry) {
      const stream = await openEntry(entry);
      const through = new PassThrough();
      // The stream of an entry without compression never says that it closed, which pipelines wait for.
      return stream.on("error", (error) => through.destroy(error)).pipe(through);
    },
    dataStart: async (entry) => (await localHeader(entry, { minimal: true })).fileDataStart,
    close: () => zip.close(),
  };
}
