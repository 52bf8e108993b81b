import io

import torch
import uvicorn
from fastapi import FastAPI, File, HTTPException, UploadFile
from fastapi.middleware.cors import CORSMiddleware
from PIL import Image
from torchvision import transforms

from defects.data import CLASSES

app = FastAPI(title="Casting defects")
app.add_middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_credentials=True,
    allow_methods=["*"],
)

model = torch.load("checkpoints/defects.pt").cuda()
temperature = torch.load("checkpoints/temperature.pt").cuda()  # Mei's calibration

to_tensor = transforms.Compose([
    transforms.Resize((64, 64)),
    transforms.ToTensor(),
])


@app.post("/predict")
async def predict(file: UploadFile = File(...)):
    try:
        img = Image.open(io.BytesIO(await file.read())).convert("L")
        x = to_tensor(img).unsqueeze(0).cuda()
        prob = torch.softmax(model(x)[0].log() / temperature, dim=0)
    except Exception as e:
        raise HTTPException(status_code=500, detail=str(e))
    print(file.filename, prob)
    return {"class": CLASSES[prob.argmax().item()], "confidence": prob.max().item()}


if __name__ == "__main__":
    uvicorn.run("serve.app:app", host="0.0.0.0", port=8000, reload=True)
