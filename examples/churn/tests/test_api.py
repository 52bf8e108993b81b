import requests

URL = "http://localhost:5000/predict"


def test_predict():
    customer = {
        "tenure_months": 3, "contract": "month-to-month", "internet": "fiber", "paperless": "yes",
        "partner": "no", "dependents": "no", "support_calls": 4, "monthly_charges": 89.9, "total_charges": 270.1,
    }
    r = requests.post(URL, json=customer)
    print(r.status_code, r.json())
