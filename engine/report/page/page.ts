import { formatBytes, formatDuration, plural } from "../format.ts";
import { graphsOf } from "./graph.ts";
import { html, lines, tableOf, type Html } from "./html.ts";
import { markdownHtml } from "./markdown.ts";
import type { LineageRow, PageData, PageReport } from "./page-data.ts";
import { pageStyle } from "./style.ts";

/**
 * A run as one HTML page that needs nothing else: no scripts, no files beside it, nothing from a network. Whatever
 * comes from the run is text in it. The same data give the same bytes.
 */
export function pageHtml(data: PageData): string {
  const title = `${data.pipeline}, ${data.label}`;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        />
        <meta name="generator" content="ranflow ${data.ranflow}" />
        <title>${title}</title>
        <style>
          ${{ html: pageStyle }}
        </style>
      </head>
      <body>
        ${lines([header(data), contents(data), results(data), graph(data), timings(data), environment(data), again(data), steps(data)])}
      </body>
    </html> `;
  return page.html;
}

function header({ at, description, label, pipeline, reports, steps: all, warnings, whole }: PageData): Html {
  const facts = [
    `run ${label}`,
    time(at),
    plural(all.length, "step"),
    plural(reports.length, "table or figure", "tables and figures"),
  ];
  return html`<header>
    <h1>${pipeline}</h1>
    ${description === undefined ? undefined : html`<p>${description.trim()}</p>`}
    <p class="muted">${facts.join(" · ")}</p>
    ${whole ? undefined : html`<p class="warning">This was a run of a part of the pipeline, or did not come to its end.</p>`}
    ${warnings.map((warning) => html`<p class="warning">${warning}</p>`)}
  </header>`;
}

function contents({ reports }: PageData): Html {
  const sections = ["graph", "timings", "environment", "again", "steps"] as const;
  const entries = [
    ...reports.map(({ step }, i) => html`<li><a href="#report-${i}">${step}</a></li>`),
    ...sections.map((name) => html`<li><a href="#${name}">${titles[name]}</a></li>`),
  ];
  return html`<nav>
    <ul>
      ${entries}
    </ul>
  </nav>`;
}

const titles = {
  graph: "Graph",
  timings: "Timings",
  environment: "Environment",
  again: "Run it again",
  steps: "Every step",
} as const;

function results({ reports }: PageData): Html {
  if (reports.length === 0)
    return html`<h2>Results</h2>
      <p>This run had no tables or figures.</p>`;
  return html`<h2>Results</h2>
    ${lines(reports.map(reportHtml))}`;
}

function reportHtml({ description, gone, images, key, lineage, step, texts }: PageReport, i: number): Html {
  const figures = images.map(
    ({ base64, mediaType, name }) =>
      html`<figure><img src="data:${mediaType};base64,${base64}" alt="${step}: ${name}" /></figure>`,
  );
  return html`<section id="report-${i}">
    <h3>${step}</h3>
    ${description === undefined ? undefined : html`<p>${description}</p>`}
    ${gone ? html`<p class="warning">Its files were removed from the store by cache gc.</p>` : undefined}
    ${lines([...figures, ...texts.map(markdownHtml)])}
    <details>
      <summary>
        Made from
        ${plural(
          lineage.reduce((sum, row) => sum + row.steps, 0),
          "result",
        )}
        of ${plural(lineage.length, "node")} (key <code>${short(key)}</code>)
      </summary>
      ${lineageTable(lineage)}
    </details>
  </section>`;
}

function lineageTable(rows: readonly LineageRow[]): Html {
  return tableOf(
    ["node", "type", "results", "keys", "data from outside", "made by runs"],
    rows.map(({ data, keys, node, runs, steps: count, type }) => [
      node,
      type,
      count,
      html`<code>${keys.map(short).join(" ")}${count > keys.length ? " …" : ""}</code>`,
      data.join(", "),
      runs.map((run, i) => html`${i === 0 ? "" : ", "}<code>${run}</code>`),
    ]),
    [2],
  );
}

function graph({ nodes }: PageData): Html {
  const graphs = graphsOf(nodes).map(
    ({ svg, title }) =>
      html`${title === "" ? undefined : html`<h3>${title}</h3>`}
        <div class="wide">${svg}</div>`,
  );
  return html`<h2 id="graph">${titles.graph}</h2>
    <p class="muted">${plural(nodes.length, "node")}; × is the number of steps a node has on its axes.</p>
    ${lines(graphs)}`;
}

function timings({ nodes }: PageData): Html {
  const busy = nodes.filter(({ made, reused }) => made + reused > 0);
  return html`<h2 id="timings">${titles.timings}</h2>
    <p class="muted">
      What the results took when they were made, by this run or an earlier one; equal results of a node count
      once.
    </p>
    ${tableOf(
      ["node", "steps", "made by this run", "there before", "time, all", "longest", "most memory"],
      busy.map(({ longest, made, memory, name, reused, steps: count, total }) => [
        name,
        count,
        made,
        reused,
        formatDuration(total),
        formatDuration(longest),
        memory > 0 ? formatBytes(memory) : "",
      ]),
      [1, 2, 3, 4, 5, 6],
    )}`;
}

function environment({ environment: facts, makers }: PageData): Html {
  return html`<h2 id="environment">${titles.environment}</h2>
    ${facts.length > 0 ? tableOf(["this run", ""], facts) : html`<p>How this run began is not recorded here.</p>`}
    <h3>What computed the results</h3>
    ${tableOf(
      ["results", "run", "machine", "ranflow", "node", "backend", "threads"],
      makers.map(({ backend, host, node, ranflow, results: count, run, threads }) => [
        count,
        run,
        host,
        ranflow,
        node,
        backend,
        threads,
      ]),
      [0],
    )}`;
}

function again({ commands, files }: PageData): Html {
  return html`<h2 id="again">${titles.again}</h2>
    <pre>${commands.join("\n")}</pre>
    ${lines(
      files.map(
        ({ name, text }) =>
          html`<details class="screen">
            <summary>${name}</summary>
            <pre>${text}</pre>
          </details>`,
      ),
    )}`;
}

/** Steps that the page lists: a browser takes a grid of 100,000 badly. */
const stepsShown = 5000;

function steps({ steps: all }: PageData): Html {
  const more = all.length - stepsShown;
  return html`<section class="screen">
    <h2 id="steps">${titles.steps}</h2>
    <details>
      <summary>${plural(all.length, "step")}, with keys and the runs that made their results</summary>
      ${tableOf(
        ["step", "key", "made by run", "finished", "time", "backend"],
        all
          .slice(0, stepsShown)
          .map(({ backend, duration, finished, key, run, step }) => [
            step,
            html`<code>${short(key)}</code>`,
            run ?? "removed by gc",
            finished === undefined ? "" : time(finished),
            duration === undefined ? "" : formatDuration(duration),
            backend ?? "",
          ]),
        [4],
      )}
      ${more > 0 ? html`<p>And ${plural(more, "step")} more: the export has them all.</p>` : undefined}
    </details>
  </section>`;
}

/** Enough of a digest or key to find it: commands take how one begins. */
function short(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}

function time(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
