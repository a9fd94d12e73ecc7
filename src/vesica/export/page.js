const element = (id) => document.getElementById(id);
const traits = JSON.parse(element("traits").textContent);
const [file, status, canvas, threshold] = ["file", "status", "picture", "threshold"].map(element);
let session, ort, shown = null, busy = false;

function decode(id) {
  const text = atob(element(id).textContent);
  element(id).remove(); // the copy in text is larger than the bytes
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return bytes;
}

function say(text, isWarning = false) {
  status.textContent = text;
  status.className = isWarning ? "warn" : "";
}

async function start() {
  // A page opened from a disk may import no file beside it, but may import what it holds.
  const script = new Blob([decode("runtime")], { type: "text/javascript" });
  ort = await import(URL.createObjectURL(script));
  ort.env.wasm.numThreads = 1; // several need headers that no file has
  ort.env.wasm.wasmBinary = decode("wasm").buffer;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(decode("model"), { executionProviders: ["wasm"] });
  file.disabled = false;
  say("Ready.");
}

async function pixelsOf(blob) {
  // Colours as stored, as the network was trained on them; turned as the camera was.
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const surface = new OffscreenCanvas(width, height);
  const context = surface.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

function planes(image) {
  const size = image.width * image.height;
  const found = new Uint8Array(3 * size);
  for (let place = 0; place < size; place++) {
    for (let colour = 0; colour < 3; colour++) {
      found[colour * size + place] = image.data[4 * place + colour];
    }
  }
  return new ort.Tensor("uint8", found, [1, 3, image.height, image.width]);
}

async function predict(blob) {
  if (busy || !blob) return;
  busy = true;
  shown = null; // else the last image's mask would stand beneath what is said of this one
  element("found").hidden = true;
  try {
    say("Looking at it …");
    await new Promise((resolve) => setTimeout(resolve)); // let the browser show that
    let image;
    try {
      image = await pixelsOf(blob);
    } catch {
      throw new Error(`${blob.name || "This file"} is no image that this browser can read.`);
    }
    const { probability, confidence, disagreement } = await session.run({ image: planes(image) });
    shown = { image, probs: probability.data, confidence: confidence.data[0], disagreement: disagreement.data[0], isBlack: isBlack(image), name: blob.name || "image" };
    element("found").hidden = false;
    say(`${shown.name}: ${image.width} x ${image.height} pixels.`);
    draw();
  } catch (error) {
    say(String(error.message || error), true);
  } finally {
    busy = false;
  }
}

function isBlack(image) {
  // At its own size; `vesica predict` asks at the network's, where a hot pixel is gone as well.
  return image.data.every((value, place) => place % 4 === 3 || value < traits.black);
}

function mask() {
  const size = shown.image.width * shown.image.height;
  const chosen = Number(element("class").value || 0), first = chosen * size;
  if (traits.isExclusive) {
    const isLargest = (place) => traits.classes.every((_, other) =>
      other < chosen ? shown.probs[other * size + place] < shown.probs[first + place]
        : shown.probs[other * size + place] <= shown.probs[first + place]);
    return Uint8Array.from({ length: size }, (_, place) => isLargest(place) ? 1 : 0);
  }
  const limit = Math.fround(threshold.isOwn ? Number(threshold.value) : traits.threshold);
  return Uint8Array.from({ length: size }, (_, place) => shown.probs[first + place] >= limit ? 1 : 0);
}

function draw() {
  if (!shown) return;
  const { image, confidence, disagreement } = shown;
  const found = mask(), drawn = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
  if (element("shown").checked) {
    found.forEach((isFound, place) => {
      if (!isFound) return;
      [255, 60, 0].forEach((value, colour) => {
        drawn.data[4 * place + colour] = 0.5 * drawn.data[4 * place + colour] + 0.5 * value;
      });
    });
  }
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(drawn, 0, 0);
  const share = found.reduce((sum, value) => sum + value, 0) / found.length;
  const isUnusual = (traits.unusualBelow !== null && confidence < traits.unusualBelow) ||
    (traits.unusualAbove !== null && disagreement > traits.unusualAbove);
  element("value").textContent = (threshold.isOwn ? Number(threshold.value) : traits.threshold).toFixed(3);
  const warning = shown.isBlack
    ? ` The image is as good as black (no value above ${traits.black - 1} of 255); its mask means little. ` +
      "Images of 12 bits in files of 16 look so: save them with 8 bits."
    : isUnusual ? " The model is less sure of it than of nine test images in ten: look closely." : "";
  element("summary").className = warning ? "warn" : "";
  const what = traits.isExclusive ? traits.classes[Number(element("class").value)] : "foreground";
  element("summary").textContent = `${(100 * share).toFixed(2)} % of the image is ${what}.${warning}`;
}

async function save() {
  if (!shown) return;
  const { width, height } = shown.image;
  const picture = new ImageData(width, height);
  mask().forEach((value, place) => picture.data.set([255 * value, 255 * value, 255 * value, 255], 4 * place));
  const surface = new OffscreenCanvas(width, height);
  surface.getContext("2d").putImageData(picture, 0, 0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await surface.convertToBlob({ type: "image/png" }));
  link.download = `${shown.name.replace(/\.[^.]*$/, "")}_mask.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

traits.classes.forEach((name, place) => element("class").add(new Option(name, place)));
element("class-row").hidden = traits.classes.length < 2;
element("threshold-row").hidden = traits.isExclusive;
threshold.value = traits.threshold;
threshold.addEventListener("input", () => { threshold.isOwn = true; draw(); });
["class", "shown"].forEach((id) => element(id).addEventListener("change", draw));
element("save").addEventListener("click", save);
file.addEventListener("change", () => predict(file.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && session) predict(event.dataTransfer.files[0]);
  });
}
start().catch((error) => say(`The model cannot be loaded: ${error.message || error}`, true));
