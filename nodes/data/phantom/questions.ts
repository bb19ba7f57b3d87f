/** Questions on a picture of the synthetic world, in the wording of two datasets, with answers that follow from what was drawn. */
import type { Random } from "../../random.ts";
import { chestxray14Labels } from "../label-names.ts";
import type { ChestXray14Label } from "../label-names.ts";
import type { Finding } from "./finding.ts";

/** A question with its answer, as a dataset's table holds it. */
export interface AskedQuestion {
  readonly question: string;
  readonly answer: string;
  readonly closed: boolean;
  /** What the question is about, in SLAKE's words. */
  readonly about: "Modality" | "Position" | "Organ" | "Abnormality" | "Size";
}

/** What is asked about: a chest with its findings, or another part of the body. */
export interface Subject {
  readonly part: "Chest" | "Abdomen" | "Head" | "Knee";
  readonly modality: "X-Ray" | "CT";
  /** Undefined where the part is not a chest. */
  readonly findings: readonly Finding[] | undefined;
}

/** Findings that questions ask about: seen at one place, and on one side where `sided`. */
const askedAbout: readonly {
  readonly label: ChestXray14Label;
  readonly word: string;
  readonly sided: boolean;
}[] = [
  { label: "Effusion", word: "pleural effusion", sided: true },
  { label: "Pneumothorax", word: "pneumothorax", sided: true },
  { label: "Mass", word: "mass", sided: true },
  { label: "Nodule", word: "nodule", sided: true },
  { label: "Consolidation", word: "consolidation", sided: true },
  { label: "Pneumonia", word: "pneumonia", sided: true },
  { label: "Edema", word: "pulmonary edema", sided: false },
  { label: "Emphysema", word: "emphysema", sided: false },
];

const yesNo = (is: boolean): string => (is ? "Yes" : "No");

/** Questions as SLAKE asks them: modality, place, organ, abnormality; open and closed. */
export function slakeQuestions(
  { part, modality, findings }: Subject,
  random: Random,
): readonly AskedQuestion[] {
  const asked: AskedQuestion[] = [
    {
      question: "What modality is used to take this image?",
      answer: modality,
      closed: false,
      about: "Modality",
    },
    {
      question: "Which part of the body does this image belong to?",
      answer: part,
      closed: false,
      about: "Position",
    },
  ];
  const organ = random.pick(["lung", "liver", "heart"] as const);
  const holds = organ === "liver" ? part === "Abdomen" : part === "Chest";
  asked.push({
    question: `Does the picture contain ${organ}?`,
    answer: yesNo(holds),
    closed: true,
    about: "Organ",
  });
  if (!findings) return asked;
  const present = new Set(findings.map(({ label }) => label));
  asked.push({
    question: "Does the lung look healthy?",
    answer: yesNo(!chestxray14Labels.some((label) => label !== "Cardiomegaly" && present.has(label))),
    closed: true,
    about: "Abnormality",
  });
  for (const { word, is } of balanced(present, random)) {
    asked.push({
      question: `Is there ${word} in the lung?`,
      answer: yesNo(is),
      closed: true,
      about: "Abnormality",
    });
  }
  const sided = oneSided(findings, random);
  if (sided) {
    asked.push({
      question: `Which side of the lung shows ${sided.word}, left or right?`,
      answer: sided.side === "left" ? "Left" : "Right",
      closed: true,
      about: "Position",
    });
  }
  asked.push({
    question: "Is the heart enlarged?",
    answer: yesNo(present.has("Cardiomegaly")),
    closed: true,
    about: "Size",
  });
  return asked;
}

/** Questions as clinicians ask them in VQA-RAD. */
export function radQuestions(findings: readonly Finding[], random: Random): readonly AskedQuestion[] {
  const present = new Set(findings.map(({ label }) => label));
  const asked: AskedQuestion[] = balanced(present, random).map(({ word, is }) => ({
    question: random.pick([`Is there evidence of ${word}?`, `Is ${word} present?`, `Do you see ${word}?`]),
    answer: random.pick([yesNo(is), yesNo(is).toLowerCase()]),
    closed: true,
    about: "Abnormality",
  }));
  const sided = oneSided(findings, random);
  if (sided) {
    asked.push({
      question: `Is the ${sided.word} on the left or on the right?`,
      answer: sided.side,
      closed: true,
      about: "Position",
    });
  }
  asked.push(
    {
      question: random.pick(["Is the cardiac silhouette enlarged?", "Is there cardiomegaly?"]),
      answer: yesNo(present.has("Cardiomegaly")),
      closed: true,
      about: "Size",
    },
    {
      question: "How many abnormalities are seen?",
      answer: String(findings.length),
      closed: false,
      about: "Abnormality",
    },
  );
  return asked;
}

/** One finding that is there, if any, and as many that are not: yes and no are equally frequent where both can be. */
function balanced(
  present: ReadonlySet<ChestXray14Label>,
  random: Random,
): readonly { readonly word: string; readonly is: boolean }[] {
  const order = random.shuffle(askedAbout);
  const there = order.find(({ label }) => present.has(label));
  const absent = order.find(({ label }) => !present.has(label));
  return [
    ...(there ? [{ word: there.word, is: true }] : []),
    ...(absent ? [{ word: absent.word, is: false }] : []),
  ];
}

function oneSided(
  findings: readonly Finding[],
  random: Random,
): { readonly word: string; readonly side: Finding["side"] } | undefined {
  for (const { label, word, sided } of random.shuffle(askedAbout)) {
    const found = findings.find((finding) => finding.label === label);
    if (sided && found) return { word, side: found.side };
  }
  return undefined;
}
