from ml_engineer.interfaces.main import main

if __name__ == "__main__":
    main()
